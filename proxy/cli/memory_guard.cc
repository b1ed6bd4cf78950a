#include "proxy/cli/memory_guard.h"

#include <sys/prctl.h>
#include <sys/resource.h>

namespace mooring::cli {

bool GuardMemory() {
  const rlimit none{0, 0};
  return setrlimit(RLIMIT_CORE, &none) == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}

}  // namespace mooring::cli
