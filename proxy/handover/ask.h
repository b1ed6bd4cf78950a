// Ask: one question to whoever serves at a place, for a command. Blocks.
#pragma once

#include "authz/result.h"
#include "proxy/handover/channel.h"
#include "proxy/handover/place.h"
#include "proxy/net/loop.h"

namespace mooring::handover {

// Ask sends the question and gives the first message that comes back. kNotFound: nobody serves
// there.
Result<Message> Ask(const Place& place, Message question, net::milliseconds deadline);

}  // namespace mooring::handover
