// The clock that everything in a loop goes by: monotonic, in milliseconds. Wall-clock time is for
// certificates only.
#pragma once

#include <chrono>

namespace mooring::net {

using std::chrono::milliseconds;
using MonotonicTime = std::chrono::steady_clock::time_point;

}  // namespace mooring::net
