// The cost of the TLS sessions themselves: two of them joined in memory, without sockets.
#pragma once

#include "bench/json_line.h"

namespace mooring::bench {

JsonLine MeasureAead(double seconds);

}  // namespace mooring::bench
