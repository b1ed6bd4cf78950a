#include "proxy/control/registration.h"

#include <nlohmann/json.hpp>
#include <random>
#include <utility>

#include "authz/consul/api.h"
#include "authz/text.h"
#include "proxy/control/drain_reason.h"
#include "proxy/net/address.h"

namespace mooring::control {
namespace {

using net::milliseconds;

constexpr milliseconds kHeartbeat{10'000};
// Short at first: an agent that was restarted lists nobody before the check of theirs has been
// passed again.
constexpr net::RetryPause::Bounds kRetry{milliseconds(250), milliseconds(4'000)};
constexpr milliseconds kAsk{5'000};
constexpr milliseconds kLeave{1'000};  // what a stopping process grants the agent for one answer
// somebody waits for the end of a process
constexpr net::RetryPause::Bounds kRetryRemove{milliseconds(500), milliseconds(500)};
constexpr int kRemoveTries = 3;
constexpr char kLeaderless[] = "the agent has no leader";
constexpr char kMark[] = "mooring-process";  // a key of Meta

std::string CheckId(const Registration::Entry& entry) { return entry.id + "-ttl"; }

// NodeAddressOf is that of the node whose entry has our mark, in an answer of health/connect;
// empty: it is not there.
std::string NodeAddressOf(const std::string& body, const std::string& mark) {
  using nlohmann::json;
  const json answer = json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_array()) return {};
  const json none = json::object();
  const auto child = [&none](const json& of, const char* name) -> const json& {
    const auto found = of.is_object() ? of.find(name) : of.end();
    return found != of.end() ? *found : none;
  };
  for (const json& instance : answer) {
    const json& said = child(child(child(instance, "Service"), "Meta"), kMark);
    const json& address = child(child(instance, "Node"), "Address");
    if (said.is_string() && said.get_ref<const std::string&>() == mark && address.is_string())
      return address.get<std::string>();
  }
  return {};
}

std::string NewMark() {
  std::random_device random;
  return std::to_string((std::uint64_t{random()} << 32U) | random());
}

}  // namespace

Registration::Registration(net::Loop& loop, log::Log& log, Agent& agent, Entry entry)
    : loop_(loop),
      log_(log),
      agent_(agent),
      entry_(std::move(entry)),
      mark_(NewMark()),
      asker_(agent.NewAsker()),
      timer_(loop, [this] {
        if (after_timer_) {
          std::exchange(after_timer_, nullptr)();
        } else if (next_ != nullptr) {
          (this->*next_)();
        }
      }) {}

Registration::~Registration() { agent_.link().ForgetWaiting(this); }

void Registration::Start() { Register(); }

void Registration::Later(milliseconds delay, void (Registration::*what)()) {
  next_ = what;
  timer_.Start(delay);
}

void Registration::TryAgain(void (Registration::*what)(), log::Literal said,
                            const Result<http::Response>& answer, std::string_view asked) {
  const Error error =
      answer ? Explain(*answer, agent_, asked, asker_->AskedWith(), Gives()) : answer.error();
  if (answer) complaint_ = error.message;
  Failed(said, error);
  Became(error.code == ErrorCode::kUnavailable ? First::kUnanswered : First::kRefused);
  Later(pause_.Failed(kRetry, loop_.now()), what);
  // Whoever hears it first: an agent that is back is not kept waiting. One that refuses is.
  if (!answer) agent_.link().CallWhenBack(this, [this, what] { (this->*what)(); });
}

void Registration::Became(First first) {
  if (first_ == First::kTaken || std::exchange(first_, first) == first) return;
  if (on_change_) on_change_();
}

void Registration::Failed(log::Literal what, const Error& why) {
  if (std::exchange(last_error_, why.message) == why.message) return;
  if (why.code != ErrorCode::kDenied) {
    log_.Warn("agent", what, {{"id", entry_.id}, {"error", why.message}});
    return;
  }
  // No outage, and nothing that waiting cures.
  agent_.Examine(asker_->AskedWith(), [this, alive = std::weak_ptr<bool>(alive_), &log = log_,
                                       id = entry_.id, message = why.message,
                                       needs = Needs()](const Agent::Examined& examined) {
    if (!examined.leaderless) {
      const std::string sure = examined.Sure(message);
      log.Err("agent", "agent refuses",
              {{"id", id}, {"error", sure}, {"token", examined.token}, {"needs", needs}});
      if (!alive.expired() && last_error_ == message) last_error_ = sure;
      return;
    }
    if (alive.expired()) return;
    if (last_error_ == message) last_error_ = kLeaderless;  // what is refused then is said
    if (!std::exchange(leaderless_said_, true)) {
      log.Warn("agent", "the agent has no leader and refuses every token, will retry",
               {{"id", id}, {"error", message}});
    }
    Became(First::kUnanswered);
  });
}

std::string Registration::Needs() const {
  return "service:write on \"" + entry_.service + "-proxy\" and \"" + entry_.service + "\"";
}

// Gives is what a token has to have, where a service identity is not enough.
std::string Registration::Gives() const {
  return "it takes " + Needs() + "; a service identity for \"" + entry_.service +
         "\" has the latter and \"" + entry_.service + "-sidecar-proxy\" alone";
}

void Registration::Rest() {
  timer_.Stop();
  after_timer_ = nullptr;
  agent_.link().ForgetWaiting(this);
}

void Registration::Register() {
  agent_.link().ForgetWaiting(this);
  // should memory run out before the answer is dealt with
  Later(kAsk + kRetry.first, &Registration::Register);
  asked_ = true;
  nlohmann::json body{
      {"Kind", "connect-proxy"},
      {"ID", entry_.id},
      {"Name", entry_.service + "-proxy"},
      {"Port", entry_.port},
      {"Meta", {{kMark, mark_}}},
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
  asker_->Send(std::move(request), [this](const Result<http::Response>& answer) {
    if (!answer || answer->status != 200) {
      TryAgain(&Registration::Register, "registration failed, will retry", answer,
               "register " + entry_.id);
      return;
    }
    registered_ = true;
    Became(First::kTaken);
    // An agent that takes it again and again, and no heartbeat, is heard of by the latter.
    if (!std::exchange(unproven_, true)) {
      log_.Info("agent", "registered",
                {{"id", entry_.id},
                 {"address", entry_.address.empty() ? "the node's" : entry_.address},
                 {"port", entry_.port}});
    }
    // At once: an agent that was restarted keeps the check critical, whatever a registration says.
    Pass();
  });
}

void Registration::Pass() {
  agent_.link().ForgetWaiting(this);
  Later(kAsk + kRetry.first, &Registration::Pass);  // as above
  http::Request request = agent_.NewRequest(
      "PUT", "/v1/agent/check/pass/" + authz::PercentEncoded(CheckId(entry_)), "");
  request.deadline = kAsk;
  asker_->Send(std::move(request), [this](const Result<http::Response>& answer) {
    if (answer && answer->status == 200) {
      unproven_ = false;
      pause_.Succeeded();
      complaint_.clear();
      leaderless_said_ = false;
      if (!std::exchange(last_error_, {}).empty()) {
        log_.Info("agent", "the agent takes our heartbeats again", {{"id", entry_.id}});
        agent_.link().SayBack();
      }
      Later(pause_.Regular(kHeartbeat), &Registration::Pass);
      if (address_tries_ > 0) LookAtAddress();
      return;
    }
    // 404 in newer versions, 500 `Unknown check` in 1.8.
    const bool unknown = answer && (answer->status == 404 || answer->status == 500);
    if (unknown && !unproven_) {
      registered_ = false;
      log_.Warn("agent", "the agent does not know our registration any more; registering again",
                {{"id", entry_.id}});
      Register();
    } else if (unknown) {
      registered_ = false;
      TryAgain(&Registration::Register,
               "the agent takes our registration and refuses its heartbeat, will retry both",
               answer, "pass " + CheckId(entry_));
    } else {
      TryAgain(&Registration::Pass, "heartbeat failed, will retry", answer,
               "pass " + CheckId(entry_));
    }
  });
}

// LookAtAddress finds out once where callers are sent. Servers may hear of the entry a moment after
// the agent, and a token may not see the node: then it is not said.
void Registration::LookAtAddress() {
  --address_tries_;
  if (!entry_.address.empty()) {
    address_tries_ = 0;
    CheckAddress(entry_.address);
    return;
  }
  http::Request request =
      agent_.NewRequest("GET", "/v1/health/connect/" + authz::PercentEncoded(entry_.service), "");
  request.deadline = kAsk;
  asker_->Send(std::move(request), [this](const Result<http::Response>& answer) {
    if (!answer || answer->status != 200) return;
    const std::string address = NodeAddressOf(answer->body, mark_);
    if (address.empty()) return;
    address_tries_ = 0;
    CheckAddress(address);
  });
}

void Registration::CheckAddress(const std::string& address) {
  if (!net::Address::Tcp(address, entry_.port).IsLoopback()) return;
  log_.Warn("agent",
            "registered with a loopback address: callers on other machines cannot reach it",
            {{"id", entry_.id},
             {"address", address},
             {"of", entry_.address.empty() ? "the node" : "the public listener, or -advertise"},
             {"cure", "-advertise"}});
}

// Look asks whose the entry is; an error: the agent does not say.
void Registration::Look(std::function<void(const Result<Owner>&)> done) {
  http::Request request =
      agent_.NewRequest("GET", "/v1/agent/service/" + authz::PercentEncoded(entry_.id), "");
  request.deadline = kLeave;
  asker_->Send(
      std::move(request), [this, done = std::move(done)](const Result<http::Response>& answer) {
        if (!answer) {
          done(answer.error());
        } else if (answer->status == 404) {
          done(Owner::kNobody);
        } else if (answer->status != 200) {
          done(Explain(*answer, agent_, "look at " + entry_.id, asker_->AskedWith()));
        } else if (const auto mark = authz::ParseServiceMeta(answer->body, kMark); !mark) {
          done(mark.error());
        } else if (*mark == mark_) {
          done(Owner::kWe);
        } else {
          log_.Info("agent", "another process has registered in our place; its entry is left alone",
                    {{"id", entry_.id}});
          done(Owner::kAnother);
        }
      });
}

void Registration::Suspend(std::function<void(bool)> done) {
  if (!registered_) {
    loop_.Post([done = std::move(done)] { done(false); });
    return;
  }
  Rest();
  Look([this, done = std::move(done)](const Result<Owner>& owner) mutable {
    if (owner && *owner == Owner::kWe) {
      MakeCritical(std::move(done));
      return;
    }
    if (!owner || *owner == Owner::kNobody) Later(pause_.Regular(kHeartbeat), &Registration::Pass);
    done(false);
  });
}

void Registration::MakeCritical(std::function<void(bool)> done) {
  http::Request request =
      agent_.NewRequest("PUT", "/v1/agent/check/fail/" + authz::PercentEncoded(CheckId(entry_)),
                        "note=" + authz::PercentEncoded(kDrainReason));
  request.deadline = kLeave;
  asker_->Send(std::move(request),
               [this, done = std::move(done)](const Result<http::Response>& answer) {
                 const bool taken = answer && answer->status == 200;
                 if (!taken) Later(pause_.Regular(kHeartbeat), &Registration::Pass);
                 done(taken);
               });
}

void Registration::Resume() {
  timer_.Stop();
  Pass();
}

void Registration::Remove(std::function<void()> done) {
  Rest();
  // Not `registered_`: the agent may have taken up a request whose answer we did not wait for.
  if (!asked_) {
    loop_.Post(std::move(done));
    return;
  }
  TryRemove(kRemoveTries, std::move(done));
}

void Registration::TryRemove(int tries_left, std::function<void()> done) {
  Look([this, tries_left, done = std::move(done)](const Result<Owner>& owner) mutable {
    if (!owner) {
      RemoveAgain(tries_left, owner.error(), std::move(done));
    } else if (*owner == Owner::kWe) {
      Deregister(tries_left, std::move(done));
    } else {
      done();
    }
  });
}

void Registration::Deregister(int tries_left, std::function<void()> done) {
  http::Request request = agent_.NewRequest(
      "PUT", "/v1/agent/service/deregister/" + authz::PercentEncoded(entry_.id), "");
  request.deadline = kLeave;
  asker_->Send(std::move(request), [this, tries_left, done = std::move(done)](
                                       const Result<http::Response>& answer) mutable {
    // 404: somebody else has removed it, which is what we want.
    if (answer && (answer->status == 200 || answer->status == 404)) {
      log_.Info("agent", "deregistered", {{"id", entry_.id}});
      done();
      return;
    }
    RemoveAgain(tries_left,
                answer ? Explain(*answer, agent_, "deregister", asker_->AskedWith(), Gives())
                       : answer.error(),
                std::move(done));
  });
}

void Registration::RemoveAgain(int tries_left, const Error& why, std::function<void()> done) {
  if (tries_left <= 1) {
    Failed(
        "not deregistered; the agent will do it when the check has been critical for ten minutes",
        why);
    done();
    return;
  }
  after_timer_ = [this, tries_left, done = std::move(done)]() mutable {
    TryRemove(tries_left - 1, std::move(done));
  };
  timer_.Start(pause_.Failed(kRetryRemove, loop_.now()));
}

}  // namespace mooring::control
