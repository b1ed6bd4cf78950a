#include "proxy/cli/start.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include "proxy/cli/memory_guard.h"
#include "proxy/log/log.h"
#include "proxy/net/loop.h"
#include "proxy/sidecar/sidecar.h"

namespace mooring::cli {
int Start(config::Settings settings) {
  const bool guarded = settings.allow_core || GuardMemory();
  const std::string refused = guarded ? std::string() : std::strerror(errno);
  log::Log log(settings.log_level, settings.log_json);
  if (log.failure() != 0) {
    std::fprintf(stderr, "==> cannot start the thread that writes the log: %s (TasksMax= in the unit, ulimit -u)\n",
                 std::strerror(log.failure()));
    return 1;
  }
  if (settings.allow_core) log.Warn("sidecar", "allow_core: a core file of this process holds the private key");
  if (!guarded) log.Warn("sidecar", "core files cannot be forbidden", {{"error", refused}});
  int code = 0;
  {
    net::Loop loop;
    {
      sidecar::Sidecar sidecar(loop, log, std::move(settings));
      code = sidecar.Run();
    }
    // Nobody handles them any more, and all that is left is the rest of the log, which takes a second at most.
    std::signal(SIGTERM, SIG_IGN);
    std::signal(SIGINT, SIG_IGN);
  }
  return code;
}

}  // namespace mooring::cli
