// Our own families of who talks to whom, from one service's Traffic. Control thread.
#pragma once

#include <string_view>

#include "proxy/data/traffic.h"
#include "proxy/net/clock.h"
#include "proxy/observe/exposition.h"

namespace mooring::observe {

const char* DirectionName(data::ListenerKind kind);  // "inbound" or "outbound"

// AddTraffic adds all flows and handshakes of the service of that name.
void AddTraffic(Exposition* out, std::string_view service, data::Traffic& traffic,
                net::MonotonicTime now);

}  // namespace mooring::observe
