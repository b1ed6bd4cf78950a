// What the process may not become, and what it gives up of being more than others. Both are each
// thread's own in the kernel: called before another thread begins, they hold for all.
#pragma once

#include <string>
#include <vector>

#include "proxy/confine/outcome.h"

namespace mooring::confine {

// ForbidNewPrivileges: no execve gives more rights than there are (PR_SET_NO_NEW_PRIVS). Seccomp
// and Landlock are for those alone who have this, or are root.
Outcome ForbidNewPrivileges();

// DropCapabilities gives up all of them, of each set, but for CAP_NET_BIND_SERVICE where the
// process has it: a port below 1024 is bound again after a failure, or by a reload.
Outcome DropCapabilities();

// Capabilities are the names of those that are in effect on this thread: "net_bind_service"; a
// number where we know no name.
std::vector<std::string> Capabilities();

// SuperfluousRoot: the process runs as root, which nothing that it does needs.
bool SuperfluousRoot();

}  // namespace mooring::confine
