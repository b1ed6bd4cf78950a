#include "proxy/config/settings.h"

#include <algorithm>

namespace mooring::config {

std::string UpstreamSettings::Name() const {
  std::string text = name;
  if (type == authz::UpstreamType::kPreparedQuery) text += ".query";
  if (!datacenter.empty()) text += "@" + datacenter;
  return text;
}

bool ServiceSettings::NeedsAgent() const {
  if (HeldByAgent()) return true;
  if (!identity || register_self) return true;
  // Intentions judge inbound callers alone: without a public listener nobody asks for them.
  if (public_listen && !intentions) return true;
  return std::any_of(upstreams.begin(), upstreams.end(),
                     [](const UpstreamSettings& upstream) { return upstream.endpoints.empty(); });
}

bool Settings::NeedsAgent() const {
  return std::any_of(services.begin(), services.end(),
                     [](const ServiceSettings& each) { return each.NeedsAgent(); });
}

}  // namespace mooring::config
