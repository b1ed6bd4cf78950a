// Seccomp: which system calls the process may make (calls.h), of all its threads.
//
// A call that is not among them is not made. It fails with ENOSYS, as on a kernel that lacks it, is
// counted and named once; or it ends the process. The signal that tells us of it (SIGSYS) must not
// be blocked in any thread: the kernel then ends the process. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "proxy/confine/outcome.h"

namespace mooring::confine {

// Refusal says what becomes of a call that is not on the list.
enum class Refusal {
  kFail,  // ENOSYS
  kKill,  // the process ends by SIGSYS; the call's name is on standard error
};

// FilterCalls cannot be undone. Call it once, with no_new_privs set or as root.
Outcome FilterCalls(Refusal refusal);

// RefusedCalls is how many have been refused so far.
std::uint64_t RefusedCalls();

// NewlyRefused are the names of those that no earlier answer had: "execve". In no order.
std::vector<std::string> NewlyRefused();

}  // namespace mooring::confine
