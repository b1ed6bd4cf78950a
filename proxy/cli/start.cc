#include "proxy/cli/start.h"

#include <utility>

#include "proxy/log/log.h"
#include "proxy/net/loop.h"
#include "proxy/sidecar/sidecar.h"

namespace mooring::cli {
int Start(config::Settings settings) {
  log::Log log(settings.log_level, settings.log_json);
  net::Loop loop;
  sidecar::Sidecar sidecar(loop, log, std::move(settings));
  return sidecar.Run();
}

}  // namespace mooring::cli
