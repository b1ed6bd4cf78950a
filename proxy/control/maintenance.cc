#include "proxy/control/maintenance.h"

#include <utility>

#include "authz/consul/api.h"
#include "authz/text.h"
#include "proxy/control/drain_reason.h"

namespace mooring::control {
namespace {

using net::milliseconds;

constexpr milliseconds kAsk{5'000};
constexpr milliseconds kLeave{1'000};  // what a stopping process grants the agent for one answer
// Somebody waits for the end of a process.
constexpr net::RetryPause::Bounds kRetryEnd{milliseconds(500), milliseconds(500)};
constexpr net::RetryPause::Bounds kRetryUndo{milliseconds(500), milliseconds(4'000)};
constexpr char kGives[] = "it takes service:write on the name that this proxy is registered under";
constexpr int kEndTries = 3;

}  // namespace

Maintenance::Maintenance(net::Loop& loop, log::Log& log, Agent& agent, std::string proxy_id)
    : loop_(loop),
      log_(log),
      agent_(agent),
      proxy_id_(std::move(proxy_id)),
      asker_(agent.NewAsker()),
      again_(loop, [this] { std::exchange(after_again_, nullptr)(); }) {}

bool Maintenance::IsOurs(const std::string& reason) { return reason == kDrainReason; }

void Maintenance::Put(bool enable, std::function<void(bool)> done) {
  http::Request request = agent_.NewRequest(
      "PUT", "/v1/agent/service/maintenance/" + authz::PercentEncoded(proxy_id_),
      std::string("enable=") + (enable ? "true" : "false") +
          (enable ? "&reason=" + authz::PercentEncoded(kDrainReason) : std::string()));
  request.deadline = kLeave;
  asker_->Send(std::move(request), [this, enable,
                                    done = std::move(done)](const Result<http::Response>& answer) {
    const bool taken = answer && answer->status == 200;
    if (!taken) {
      const std::string error =
          answer ? Explain(*answer, agent_, "maintenance", asker_->AskedWith(), kGives).message
                 : answer.error().message;
      if (error != std::exchange(last_error_, error)) {
        log_.Warn(
            "agent",
            enable ? log::Literal("maintenance not set") : log::Literal("maintenance not ended"),
            {{"id", proxy_id_}, {"error", error}});
      }
    } else {
      settled_ = !enable;
      log_.Info("agent",
                enable ? log::Literal("maintenance set for the drain")
                       : log::Literal("maintenance of a drain ended"),
                {{"id", proxy_id_}});
    }
    done(taken);
  });
}

void Maintenance::Set(std::function<void(bool)> done) { Put(true, std::move(done)); }

void Maintenance::End(std::function<void()> done) { TryEnd(kEndTries, std::move(done)); }

void Maintenance::TryEnd(int tries_left, std::function<void()> done) {
  Put(false, [this, tries_left, done = std::move(done)](bool taken) mutable {
    if (taken) {
      done();
      return;
    }
    if (tries_left <= 1) {
      log_.Err("agent", "this proxy stays in maintenance until its next start",
               {{"id", proxy_id_}, {"cure", "consul maint -disable -service=" + proxy_id_}});
      done();
      return;
    }
    after_again_ = [this, tries_left, done = std::move(done)]() mutable {
      TryEnd(tries_left - 1, std::move(done));
    };
    again_.Start(pause_.Failed(kRetryEnd, loop_.now()));
  });
}

void Maintenance::Undo() {
  if (settled_ || asker_->busy() || !pause_.Due(loop_.now())) return;
  http::Request request = agent_.NewRequest("GET", "/v1/agent/checks", "");
  request.deadline = kAsk;
  asker_->Send(std::move(request), [this](const Result<http::Response>& answer) {
    if (!answer || answer->status >= 500 || answer->status == 429) {
      UndoLater();
      return;
    }
    if (answer->status != 200) {
      settled_ = true;
      log_.Warn("agent", "cannot see whether an earlier drain left this proxy in maintenance",
                {{"id", proxy_id_},
                 {"error", Explain(*answer, agent_, "checks", asker_->AskedWith()).message}});
      return;
    }
    const auto checks = authz::ParseServiceChecks(answer->body, proxy_id_);
    if (!checks) {
      UndoLater();
      return;
    }
    if (!checks->maintenance || !IsOurs(*checks->maintenance)) {
      settled_ = true;
      return;
    }
    Put(false, [this](bool taken) {
      if (!taken) UndoLater();
    });
  });
}

void Maintenance::UndoLater() { (void)pause_.Failed(kRetryUndo, loop_.now()); }

}  // namespace mooring::control
