// Sidecar::StatusJson: /status. What a service says of itself there is service_status.cc's.
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "proxy/sidecar/sidecar.h"
#include "proxy/sidecar/status_parts.h"
#include "proxy/version.h"

namespace mooring::sidecar {
namespace {

using nlohmann::json;

// LogJson is what the log does not hold, since the start. `at_least`: the count of that one may be
// higher.
json LogJson(const log::Log::Report& report) {
  json dropped{{"lines", report.dropped.Total()}};
  for (std::size_t i = 0; i < log::kLevels; ++i)
    dropped[log::LevelName(static_cast<log::Level>(i))] = report.dropped.of[i];
  std::uint64_t lines = 0;
  json topics = json::array();
  for (const log::LeftOut& topic : report.left_out) {
    lines += topic.lines;
    json largest = json::array();
    for (const log::HeavyHitters::Hitter& hitter : topic.largest) {
      largest.push_back(
          {{"who", hitter.who}, {"lines", hitter.at_least}, {"at_least", !hitter.exact}});
    }
    topics.push_back({{"message", topic.message},
                      {"reason", topic.reason},
                      {"lines", topic.lines},
                      {"largest", largest}});
  }
  return {{"dropped", dropped}, {"left_out", {{"lines", lines}, {"topics", topics}}}};
}

}  // namespace

std::string Sidecar::StatusJson(const std::string& service) const {
  json out = json::object();
  out["version"] = kVersion;
  out["pid"] = getpid();
  out["uptime_seconds"] = std::chrono::duration<double>(loop_.now() - started_at_).count();
  if (const Service* one = service.empty() ? nullptr : Find(service)) {
    one->Describe(&out);
    std::vector<std::string> degraded = AgentDegraded();
    for (std::string& what : one->Degraded()) degraded.push_back(std::move(what));
    out["degraded"] = std::move(degraded);
    return Written(out);
  }
  json services = json::array();
  for (const auto& one : services_) one->Describe(&services.emplace_back(json::object()));
  if (services_.size() == 1) {
    // where a process is one service, its facts stand at the top, too
    out.update(services.front());
    out["degraded"] = Degraded();
  } else {
    bool ready = true;
    for (const auto& one : services_) ready = ready && one->ready();
    out["state"] = draining_ ? "draining" : ready ? "ready" : "starting";
    out["not_ready"] = NotReady();
    out["degraded"] = Degraded();
    out["listeners"] = json::array();
  }
  out["services"] = std::move(services);
  for (const auto& [name, port] : {std::pair("admin", &admin_), std::pair("metrics", &metrics_)}) {
    if (!*port) continue;
    out["listeners"].push_back(
        {{"name", name}, {"address", (*port)->address()}, {"state", "open"}, {"error", ""}});
  }
  out["generation"] = generation_;
  out["generations"] = generations_.Describe();
  out["agent"] = nullptr;
  if (link_) {
    const control::AgentConnections& connections = link_->connections();
    out["agent"] = {{"address", link_->name()},
                    {"connections", connections.open()},
                    {"max_connections", connections.limit()},
                    {"error", connections.Complaint()}};
  }
  if (admission_) out["admission"] = json::parse(AdmissionJson());
  out["confinement"] = confinement_.Describe();
  out["log"] = LogJson(log_.report());
  out["reload"] = ReloadJson();
  return Written(out);
}

}  // namespace mooring::sidecar
