// Sidecar::BriefJson: /status?brief=1, what the status page shows. What a service says of itself
// there is service_outline.cc's.
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "proxy/sidecar/sidecar.h"
#include "proxy/sidecar/status_parts.h"
#include "proxy/version.h"

namespace mooring::sidecar {
namespace {

using nlohmann::json;

constexpr std::size_t kMostServices = 200;

}  // namespace

std::string Sidecar::BriefJson(const std::string& service, const admin::Slice& upstreams) const {
  json out{{"version", kVersion},
           {"pid", getpid()},
           {"uptime_seconds", std::chrono::duration<double>(loop_.now() - started_at_).count()},
           {"degraded", AgentDegraded()},
           {"service_count", services_.size()},
           {"lists", {"connections", "traffic", "recent"}},  // that the admin port has beside this
           {"services", json::array()},
           {"generations", generations_.Describe()},
           {"agent", nullptr}};
  if (link_) {
    const control::AgentConnections& connections = link_->connections();
    out["agent"] = {{"address", link_->name()},
                    {"connections", connections.open()},
                    {"max_connections", connections.limit()},
                    {"error", connections.Complaint()}};
  }
  for (const auto& one : services_) {
    if (out["services"].size() >= kMostServices) break;
    out["services"].push_back({{"name", one->name()},
                               {"state", draining_      ? "draining"
                                         : one->ready() ? "ready"
                                                        : "starting"},
                               {"active", data::ActiveOf(one->hosts())},
                               {"degraded", one->Degraded().size()}});
  }
  const Service* one = service.empty() ? services_.front().get() : Find(service);
  one->Outline(upstreams, &out["service"]);
  return WrittenInOneLine(out);
}

}  // namespace mooring::sidecar
