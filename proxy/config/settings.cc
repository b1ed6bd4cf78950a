#include "proxy/config/settings.h"

#include <algorithm>

namespace mooring::config {

bool Settings::NeedsAgent() const {
  if (!proxy_id.empty() || !sidecar_for.empty()) return true;  // the agent holds the configuration
  if (!identity || register_self) return true;
  // Intentions judge inbound callers alone: without a public listener nobody asks for them.
  if (public_listen && !intentions) return true;
  return std::any_of(upstreams.begin(), upstreams.end(),
                     [](const UpstreamSettings& upstream) { return upstream.endpoints.empty(); });
}

}  // namespace mooring::config
