// The cost of the cipher alone: what no TLS proxy can do without.
#pragma once

#include "bench/json_line.h"

namespace mooring::bench {

// MeasureAead seals and opens 16 KiB records by AES-128-GCM for so long; the cost of one leg, in
// CPU-seconds per GB. Throws std::runtime_error.
JsonLine MeasureAead(double seconds);

}  // namespace mooring::bench
