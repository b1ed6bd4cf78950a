// The system calls that a sidecar makes, its libraries and the name services that the C library
// loads included: all others are refused (seccomp(2)). Measured by the whole of the tests, in which
// a refusal ends the process.
#pragma once

#include <seccomp.h>

#include <optional>
#include <vector>

namespace mooring::confine {

struct Call {
  int number = 0;  // of libseccomp's, which has negative ones where there is none
  std::vector<scmp_arg_cmp> if_all{};  // its arguments; none: whatever they are
};

// AllowedCalls has the same call several times where any of several conditions is enough.
std::vector<Call> AllowedCalls();

// QuietlyMissing are answered ENOSYS without a word: the C library asks, and has another way.
std::vector<int> QuietlyMissing();

}  // namespace mooring::confine
