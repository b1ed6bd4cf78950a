// Points in time as text. Pure, the same in every locale.
#pragma once

#include <chrono>
#include <string>

namespace mooring::authz {

// Rfc3339 is `time` in UTC, as in 2026-11-28T01:02:03.004Z, with that many digits of a second's
// fraction, 9 at most.
std::string Rfc3339(std::chrono::system_clock::time_point time, int digits = 0);

}  // namespace mooring::authz
