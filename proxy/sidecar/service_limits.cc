// Service::Limits: what is limited by number of connections, and how much of it is used. For
// /status, /metrics and /why.
#include <string>
#include <utility>

#include "proxy/sidecar/service.h"

namespace mooring::sidecar {
namespace {

void Add(std::vector<LimitView>* limits, const char* setting, const std::string& listener,
         const data::Cap& cap) {
  if (const auto most = cap.limit())
    limits->push_back({setting, listener, *most, cap.count(), cap.refused(), {}});
}

}  // namespace

std::vector<LimitView> Service::Limits() const {
  std::vector<LimitView> limits;
  Add(&limits, "max_inbound_connections", kPublic, caps_->connections);
  if (const auto most = caps_->each->limit()) {
    auto [identity, count] = caps_->each->Largest();
    limits.push_back({"max_connections_per_identity", kPublic, *most, count, caps_->each->refused(),
                      std::move(identity)});
  }
  for (const auto& [listener, source] : upstreams_) {
    const data::UpstreamCaps& caps = *source->memory()->caps;
    Add(&limits, "max_connections", listener, caps.connections);
    Add(&limits, "max_pending", listener, caps.pending);
  }
  return limits;
}

}  // namespace mooring::sidecar
