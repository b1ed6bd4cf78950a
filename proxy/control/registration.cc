#include "proxy/control/registration.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "authz/text.h"

namespace mooring::control {
namespace {

using net::milliseconds;

constexpr milliseconds kHeartbeat{10'000};
// Short: an agent that was restarted lists nobody before the check of theirs has been passed again.
constexpr milliseconds kRetry{500};
constexpr milliseconds kAsk{5'000};
constexpr milliseconds kLeave{1'000};  // what a stopping process grants the agent for one answer
constexpr milliseconds kRemoveAgain{500};
constexpr int kRemoveTries = 3;
constexpr char kDrainReason[] = "mooring: draining before its end";

std::string CheckId(const Registration::Entry& entry) { return entry.id + "-ttl"; }

}  // namespace

Registration::Registration(net::Loop& loop, log::Log& log, Agent& agent, Entry entry)
    : loop_(loop),
      log_(log),
      agent_(agent),
      entry_(std::move(entry)),
      asker_(agent.NewAsker()),
      timer_(loop, [this] {
        if (after_timer_) {
          std::exchange(after_timer_, nullptr)();
        } else if (next_ != nullptr) {
          (this->*next_)();
        }
      }) {}

void Registration::Start() { Register(); }

void Registration::Later(milliseconds delay, void (Registration::*what)()) {
  next_ = what;
  timer_.Start(delay);
}

void Registration::Failed(log::Literal what, const Error& why) {
  if (std::exchange(last_error_, why.message) == why.message) return;
  if (why.code != ErrorCode::kDenied) {
    log_.Warn("agent", what, {{"id", entry_.id}, {"error", why.message}});
    return;
  }
  // No outage, and nothing that waiting cures.
  agent_.NameToken([&log = log_, id = entry_.id, message = why.message,
                    needs = "service:write on \"" + entry_.service + "-proxy\" and \"" + entry_.service + "\""](
                       const std::string& token) {
    log.Err("agent", "agent refuses", {{"id", id}, {"error", message}, {"token", token}, {"needs", needs}});
  });
}

void Registration::Register() {
  Later(kAsk + kRetry, &Registration::Register);  // should memory run out before the answer is dealt with
  asked_ = true;
  nlohmann::json body{
      {"Kind", "connect-proxy"},
      {"ID", entry_.id},
      {"Name", entry_.service + "-proxy"},
      {"Port", entry_.port},
      {"Proxy", {{"DestinationServiceName", entry_.service}}},
      {"Check",
       {{"CheckID", CheckId(entry_)},
        {"Name", "proxy heartbeat"},
        {"TTL", "30s"},
        {"Status", "passing"},
        {"Notes", "Mooring passes this check every 10 seconds while it serves"},
        {"DeregisterCriticalServiceAfter", "10m"}}},
  };
  if (!entry_.address.empty()) body["Address"] = entry_.address;
  http::Request request = agent_.NewRequest("PUT", "/v1/agent/service/register", "");
  request.headers["content-type"] = "application/json";
  request.body = body.dump();
  request.deadline = kAsk;
  asker_->Send(std::move(request), [this](Result<http::Response> answer) {
    if (answer && answer->status == 200) {
      registered_ = true;
      last_error_.clear();
      log_.Info("agent", "registered",
                {{"id", entry_.id},
                 {"address", entry_.address.empty() ? "the node's" : entry_.address},
                 {"port", std::to_string(entry_.port)}});
      // At once: an agent that was restarted keeps the check critical, whatever a registration says.
      Pass();
      return;
    }
    Failed("registration failed, will retry",
           answer ? Explain(*answer, agent_, "register " + entry_.id) : answer.error());
    Later(kRetry, &Registration::Register);
  });
}

void Registration::Pass() {
  Later(kAsk + kRetry, &Registration::Pass);  // as above
  http::Request request =
      agent_.NewRequest("PUT", "/v1/agent/check/pass/" + authz::PercentEncoded(CheckId(entry_)), "");
  request.deadline = kAsk;
  asker_->Send(std::move(request), [this](Result<http::Response> answer) {
    if (answer && answer->status == 200) {
      if (!last_error_.empty()) agent_.link().SayBack();
      last_error_.clear();
      Later(kHeartbeat, &Registration::Pass);
      return;
    }
    if (answer && (answer->status == 404 || answer->status == 500)) {
      // The agent has lost its state: 404 in newer versions, 500 `Unknown check` in 1.8.
      registered_ = false;
      log_.Warn("agent", "the agent does not know our registration any more; registering again",
                {{"id", entry_.id}});
      Register();
      return;
    }
    Failed("heartbeat failed, will retry",
           answer ? Explain(*answer, agent_, "pass " + CheckId(entry_)) : answer.error());
    Later(kRetry, &Registration::Pass);
  });
}

void Registration::Suspend(std::function<void(bool)> done) {
  if (!registered_) {
    loop_.Post([done = std::move(done)] { done(false); });
    return;
  }
  timer_.Stop();
  http::Request request = agent_.NewRequest(
      "PUT", "/v1/agent/check/fail/" + authz::PercentEncoded(CheckId(entry_)), "note=" + authz::PercentEncoded(kDrainReason));
  request.deadline = kLeave;
  asker_->Send(std::move(request), [this, done = std::move(done)](const Result<http::Response>& answer) {
    const bool taken = answer && answer->status == 200;
    if (!taken) Later(kHeartbeat, &Registration::Pass);
    done(taken);
  });
}

void Registration::Resume() {
  timer_.Stop();
  Pass();
}

void Registration::Remove(std::function<void()> done) {
  timer_.Stop();
  // Not `registered_`: the agent may have taken up a request whose answer we did not wait for.
  if (!asked_) {
    loop_.Post(std::move(done));
    return;
  }
  TryRemove(kRemoveTries, std::move(done));
}

void Registration::TryRemove(int tries_left, std::function<void()> done) {
  http::Request request =
      agent_.NewRequest("PUT", "/v1/agent/service/deregister/" + authz::PercentEncoded(entry_.id), "");
  request.deadline = kLeave;
  asker_->Send(std::move(request), [this, tries_left, done = std::move(done)](
                                        const Result<http::Response>& answer) mutable {
    // 404: somebody else has removed it, which is what we want.
    if (answer && (answer->status == 200 || answer->status == 404)) {
      log_.Info("agent", "deregistered", {{"id", entry_.id}});
      done();
      return;
    }
    if (tries_left <= 1) {
      Failed("not deregistered; the agent will do it when the check has been critical for ten minutes",
             answer ? Explain(*answer, agent_, "deregister") : answer.error());
      done();
      return;
    }
    after_timer_ = [this, tries_left, done = std::move(done)]() mutable {
      TryRemove(tries_left - 1, std::move(done));
    };
    timer_.Start(kRemoveAgain);
  });
}

}  // namespace mooring::control
