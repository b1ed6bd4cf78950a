#include "proxy/control/maintenance.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace mooring::control {
namespace {

using net::milliseconds;

constexpr milliseconds kAsk{5'000};
constexpr milliseconds kLeave{1'000};  // what a stopping process grants the agent for one answer
constexpr char kReason[] = "mooring: draining before its end";

}  // namespace

Maintenance::Maintenance(log::Log& log, Agent& agent, std::string proxy_id)
    : log_(log), agent_(agent), proxy_id_(std::move(proxy_id)), client_(agent.NewClient()) {}

void Maintenance::Put(bool enable, std::function<void()> done) {
  http::Request request = agent_.NewRequest(
      "PUT", "/v1/agent/service/maintenance/" + UrlEncode(proxy_id_),
      std::string("enable=") + (enable ? "true" : "false") +
          (enable ? "&reason=" + UrlEncode(kReason) : std::string()));
  request.deadline = kLeave;
  client_->Send(std::move(request), [this, enable, done = std::move(done)](
                                        const Result<http::Response>& answer) {
    if (!answer || answer->status != 200) {
      const std::string error =
          answer ? Explain(*answer, agent_, "maintenance").message : answer.error().message;
      if (error != std::exchange(last_error_, error)) {
        log_.Warn("agent", enable ? "maintenance not set" : "maintenance not ended",
                  {{"id", proxy_id_}, {"error", error}});
      }
    } else {
      settled_ = !enable;
      log_.Info("agent", enable ? "maintenance set for the drain" : "maintenance of an earlier drain ended",
                {{"id", proxy_id_}});
    }
    if (done) done();
  });
}

void Maintenance::Enable(std::function<void()> done) { Put(true, std::move(done)); }

void Maintenance::Undo() {
  if (settled_ || client_->busy()) return;
  http::Request request = agent_.NewRequest("GET", "/v1/agent/checks", "");
  request.deadline = kAsk;
  client_->Send(std::move(request), [this](const Result<http::Response>& answer) {
    if (!answer || answer->status >= 500 || answer->status == 429) return;  // the next call asks again
    if (answer->status != 200) {
      settled_ = true;
      log_.Warn("agent", "cannot see whether an earlier drain left this proxy in maintenance",
                {{"id", proxy_id_}, {"error", Explain(*answer, agent_, "checks").message}});
      return;
    }
    const auto checks = nlohmann::json::parse(answer->body, nullptr, false);
    if (!checks.is_object()) return;
    const auto found = checks.find("_service_maintenance:" + proxy_id_);
    const bool ours = found != checks.end() && found->is_object() && found->contains("Notes") &&
                      (*found)["Notes"] == kReason;
    if (!ours) {
      settled_ = true;
      return;
    }
    Put(false, nullptr);
  });
}

}  // namespace mooring::control
