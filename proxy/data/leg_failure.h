// Why a leg of a connection failed: the one place that knows what a session's failure, an errno and
// silence mean.
//
// The same errno means other things before a handshake and after it, so the owner says how far the
// leg had come. Pure; it reads the stream and changes nothing.
#pragma once

#include <string>

#include "proxy/data/close_reason.h"
#include "proxy/net/stream.h"

namespace mooring::data {

enum class Reached {
  kCallersHandshake,    // inbound, under way
  kInstancesHandshake,  // outbound, under way
  // outbound: our side is done, no byte has passed, another instance may still do
  kProven,
  kLive,  // bytes pass, or may
};

// ReasonOf is for a stream that has failed, or that its peer has left in a handshake. It takes no
// memory.
CloseReason ReasonOf(net::Stream& failed, Reached reached) noexcept;
// ReasonOfDial is for a leg that never came to be: `error` is the errno that its connect ended
// with.
enum class Dialed { kInstance, kLocalApp };
CloseReason ReasonOfDial(int error, Dialed whom) noexcept;
// DetailOf says in words why a stream failed, for a log; printable, one line. Of an instance it
// says as well what is likely behind an end that sidecars have for a cause of their own.
std::string DetailOf(net::Stream& failed, Reached reached);

}  // namespace mooring::data
