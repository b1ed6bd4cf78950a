#include "proxy/control/departure.h"

#include <algorithm>
#include <utility>

#include "authz/text.h"
#include "proxy/config/duration.h"

namespace mooring::control {
namespace {

using net::milliseconds;

constexpr milliseconds kAsk{1'000};
constexpr milliseconds kSettle{2'000};
constexpr milliseconds kLookAgain{200};
constexpr milliseconds kSpread{200};
constexpr milliseconds kAskUnseenAgain{500};
constexpr net::RetryPause::Bounds kRetryUnseen{milliseconds(500), milliseconds(2'000)};
constexpr milliseconds kUnseenAtMost{15'000};
constexpr milliseconds kProbeTakes{1'000};  // beyond its interval

// LongestInterval is how long it may be until every check has run once more.
milliseconds LongestInterval(const std::vector<authz::ServiceChecks::Probe>& probes) {
  milliseconds longest{0};
  for (const auto& probe : probes) {
    const auto interval = config::ParseDuration(probe.interval);
    longest = std::max(longest, interval ? *interval + kProbeTakes : kUnseenAtMost);
  }
  return std::min(longest, kUnseenAtMost);
}

}  // namespace

std::size_t OtherInstances(const std::vector<authz::Instance>& instances, const std::string& id,
                           const std::string& node) {
  std::size_t others = 0;
  bool ours_seen = false;
  for (const authz::Instance& instance : instances) {
    if (instance.critical) continue;
    // Without our node's name one entry of that ID is taken for ours; those that remain are
    // another's for certain.
    const bool ours = instance.id == id &&
                      (node.empty() ? !std::exchange(ours_seen, true) : instance.node == node);
    if (!ours) ++others;
  }
  return others;
}

Departure::Departure(net::Loop& loop, log::Log& log, Agent& agent, std::string service,
                     Registration* registration, Maintenance* maintenance)
    : loop_(loop),
      log_(log),
      agent_(agent),
      service_(std::move(service)),
      registration_(registration),
      maintenance_(maintenance),
      id_(registration != nullptr ? registration->id() : maintenance->proxy_id()),
      asker_(agent.NewAsker()),
      leave_(loop, [this] { Leave(); }),
      settle_(loop,
              [this] {
                if (state_ == State::kStaying) Stay("the agent does not answer");
                Settle();
              }),
      unseen_again_(loop, [this] { AskUnseen(); }),
      unseen_limit_(loop, [this] { Unseen(); }) {}

void Departure::Begin(std::function<void()> settled) {
  settled_ = std::move(settled);
  settle_.Start(kSettle);
  http::Request request = agent_.NewRequest("GET", "/v1/agent/checks", "");
  request.deadline = kAsk;
  asker_->Send(std::move(request),
               [this](const Result<http::Response>& answer) { OnChecks(answer); });
}

void Departure::OnChecks(const Result<http::Response>& answer) {
  if (!answer || answer->status != 200) {
    Stay(answer ? Explain(*answer, agent_, "checks", asker_->AskedWith()).message
                : answer.error().message);
    Settle();
    return;
  }
  const auto checks = authz::ParseServiceChecks(answer->body, id_);
  if (!checks) {
    Stay(checks.error().message);
    Settle();
    return;
  }
  node_ = checks->node;
  probes_ = checks->probes;
  if (checks->maintenance && !Maintenance::IsOurs(*checks->maintenance)) {
    Stay("an operator has put it into maintenance, which is not ours to end");
    Settle();
    return;
  }
  if (checks->maintenance) state_ = State::kAway;  // a drain that was cut short has left it
  Watch::Options options;
  options.name = "other_instances";
  options.path = "/v1/health/connect/" + authz::PercentEncoded(service_);
  options.query = "passing=true";
  options.keep = false;
  // Over the shared connection: a drain opens none of its own.
  options.blocking = Watch::Blocking::kNone;
  options.poll_interval = kLookAgain;
  options.partial = Watch::Options::Partial::kNever;
  options.needs = "service:read on \"" + service_ + "\" and node:read";
  instances_.emplace(loop_, log_, agent_, options,
                     [this](const http::Response& response) { return TakeInstances(response); });
  instances_->OnError([this](const Error& error) {
    if (state_ == State::kStaying) Stay(error.message);
    Settle();
  });
  instances_->Start();
}

Status Departure::TakeInstances(const http::Response& response) {
  const auto instances = authz::ParseInstances(response.body);
  if (!instances) return instances.error();
  others_ = OtherInstances(*instances, id_, node_);
  switch (state_) {
    case State::kStaying:
      if (others_ == 0) {
        leave_.Stop();
        Stay("no other healthy instance can take over");
        Settle();
      } else if (!leave_.running()) {
        leave_.Start(pause_.AnyPart(kSpread));
      }
      break;
    case State::kAway:
      if (others_ == 0) ComeBack();
      Settle();
      break;
    case State::kLeaving:  // judged when the agent has answered
    case State::kBack: break;
  }
  return Ok();
}

void Departure::Leave() {
  if (state_ != State::kStaying || others_ == 0) return;
  state_ = State::kLeaving;
  const auto done = [this](bool taken) { OnLeft(taken); };
  if (registration_ != nullptr) {
    registration_->Suspend(done);
  } else {
    maintenance_->Set(done);
  }
}

void Departure::OnLeft(bool taken) {
  if (!taken) {
    // The agent may have taken it up all the same: the end undoes it in any case.
    state_ = State::kBack;
    Stay("the agent has not taken us out");
  } else {
    state_ = State::kAway;
    log_.Info("agent", "out of the catalog for the drain",
              {{"id", id_}, {"other_instances", others_}});
    if (others_ == 0) ComeBack();
  }
  Settle();
}

void Departure::ComeBack() {
  state_ = State::kBack;
  log_.Warn("agent", "no other instance is healthy any more: back in the catalog", {{"id", id_}});
  if (registration_ != nullptr) {
    registration_->Resume();
  } else {
    maintenance_->End([] {});
  }
  Unseen();
}

void Departure::Stay(const std::string& why) {
  if (std::exchange(staying_said_, why) == why) return;
  log_.Info("agent", "staying in the catalog during the drain", {{"id", id_}, {"reason", why}});
}

void Departure::Settle() {
  settle_.Stop();
  if (settled_) std::exchange(settled_, nullptr)();
}

void Departure::AwaitUnseen(std::function<void()> done) {
  unseen_ = std::move(done);
  leave_.Stop();
  // Our own registration is removed with its check; nobody watches the port of one without.
  if (state_ != State::kAway || registration_ != nullptr || probes_.empty()) {
    Unseen();
    return;
  }
  log_.Info("agent", "waiting until the agent's check has seen the port closed", {{"id", id_}});
  unseen_limit_.Start(LongestInterval(probes_));
  AskUnseen();
}

void Departure::AskUnseen() {
  http::Request request = agent_.NewRequest("GET", "/v1/agent/checks", "");
  request.deadline = kAsk;
  asker_->Send(std::move(request), [this](const Result<http::Response>& answer) {
    if (!answer || answer->status != 200) {
      unseen_again_.Start(pause_.Failed(kRetryUnseen, loop_.now()));
      return;
    }
    pause_.Succeeded();
    const auto checks = authz::ParseServiceChecks(answer->body, id_);
    const auto down = [](const authz::ServiceChecks::Probe& probe) { return probe.critical; };
    if (checks && std::any_of(checks->probes.begin(), checks->probes.end(), down)) {
      Unseen();
    } else {
      unseen_again_.Start(pause_.Regular(kAskUnseenAgain));
    }
  });
}

void Departure::Unseen() {
  unseen_limit_.Stop();
  unseen_again_.Stop();
  if (unseen_) std::exchange(unseen_, nullptr)();
}

void Departure::Finish(std::function<void()> done) {
  instances_.reset();
  leave_.Stop();
  settle_.Stop();
  asker_->Cancel();
  if (registration_ != nullptr) {
    registration_->Remove(std::move(done));
    return;
  }
  // kBack, too: the agent's answer may be outstanding, or the words of the way out and back may
  // have crossed.
  if (state_ == State::kStaying) {
    loop_.Post(std::move(done));
    return;
  }
  maintenance_->End(std::move(done));
}

}  // namespace mooring::control
