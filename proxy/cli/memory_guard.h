// GuardMemory keeps the process's memory, private key and token included, from other programs of
// its user.
#pragma once

namespace mooring::cli {

// GuardMemory forbids core files (RLIMIT_CORE 0, also for a core handler that ignores sizes) and
// makes the process non-dumpable: only root can then trace it or read its /proc/PID/mem (prctl(2),
// ptrace(2)). To be called before the private key is read (a token of flags or environment is in
// memory already); false: the system refused, and errno says why.
bool GuardMemory();

}  // namespace mooring::cli
