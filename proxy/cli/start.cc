#include "proxy/cli/start.h"

#include <cerrno>
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
  if (settings.allow_core) log.Warn("sidecar", "allow_core: a core file of this process holds the private key");
  if (!guarded) log.Warn("sidecar", "core files cannot be forbidden", {{"error", refused}});
  net::Loop loop;
  sidecar::Sidecar sidecar(loop, log, std::move(settings));
  return sidecar.Run();
}

}  // namespace mooring::cli
