// Watch: which answers are believed, how old what is in force is, and what an earlier process has
// left.
#include <algorithm>
#include <chrono>
#include <utility>

#include "authz/text.h"
#include "proxy/control/answer_headers.h"
#include "proxy/control/watch.h"
#include "tls/cleanse.h"

namespace mooring::control {
namespace {
constexpr std::chrono::minutes kClockSlack{5};  // between the clocks of two runs

// SaysNobodyForNo: Consul of before 1.9 answers who may not read a service's instances with an
// empty list, before it has looked at its store: without an index, nor a leader.
bool SaysNobodyForNo(const http::Response& response) {
  return HeaderNumber(response, kIndexHeader).value_or(0) == 1 &&
         HeaderSays(response, "x-consul-knownleader", "false") &&
         authz::Trimmed(response.body) == "[]";
}
}  // namespace

bool Watch::TooOld() const {
  const bool asked_once =
      options_.blocking == Blocking::kNone && options_.poll_interval.count() == 0;
  if (asked_once || agent_.max_stale().count() == 0 || !state_.fresh_at) return false;
  const auto confirmed = ConfirmedAt();
  return !confirmed || loop_.now() - *confirmed > agent_.max_stale();
}

std::optional<net::MonotonicTime> Watch::ConfirmedAt() const {
  if (!state_.cached || !state_.fresh_at) return state_.fresh_at;
  const auto seen = agent_.link().ServersSeen();
  return seen ? std::min(*seen, *state_.fresh_at) : seen;
}

bool Watch::AfterLoss() const {
  return state_.phase == State::Phase::kRetrying || state_.Earlier() ||
         (question_ && question_->polled() && answered_at_ &&
          *answered_at_ <= agent_.link().connections().last_loss());
}

std::optional<Error> Watch::Distrust(const http::Response& response) {
  using Partial = Options::Partial;
  if (options_.partial == Partial::kUnmarked) return std::nullopt;
  if (options_.partial == Partial::kInsteadOfNothing && SaysNobodyForNo(response)) {
    state_.refusal = options_.name +
                     ": not taken up: the agent lists nobody to who may not read it; " +
                     MissesPermission();
    return Error{ErrorCode::kDenied, state_.refusal};
  }
  const bool nothing_better =
      options_.partial == Partial::kInsteadOfNothing && state_.source == State::Source::kNone;
  if (HeaderSays(response, "x-consul-knownleader", "false") && !nothing_better) {
    return Error{
        ErrorCode::kUnavailable,
        options_.name + ": not taken up: the answer comes from a server with no known leader"};
  }
  const bool filtered = HeaderSays(response, kFilteredHeader, "true");
  // A token that has never seen the whole list gets its changes all the same.
  const bool no_less =
      nothing_better || (options_.partial == Partial::kInsteadOfNothing && state_.filtered);
  if (filtered && !no_less) {
    state_.refusal =
        options_.name + ": not taken up: the answer was filtered by ACLs; " + MissesPermission();
    return Error{ErrorCode::kDenied, state_.refusal};
  }
  return std::nullopt;
}

std::optional<Error> Watch::DistrustRewind(const http::Response& response,
                                           const Subscriber::Facts& facts) {
  if (options_.rewinds == Options::Rewinds::kCount || !MayBeOlder(response, facts))
    return std::nullopt;
  if (rewind_.Counts(loop_.now())) return std::nullopt;
  agent_.Examine("", [this, alive = std::weak_ptr<bool>(alive_)](const Agent::Examined& examined) {
    if (alive.expired()) return;
    rewind_.NoteLeader(examined.leaderless ? Rewind::Leader::kNone
                       : examined.led      ? Rewind::Leader::kKnown
                                           : Rewind::Leader::kUntold,
                       loop_.now());
    // No pause that has grown in the outage lies between it and what is new.
    const auto settled = rewind_.Settled();
    if (!settled || state_.phase != State::Phase::kRetrying) return;
    const auto left = std::chrono::duration_cast<net::milliseconds>(*settled - loop_.now()) +
                      net::milliseconds(1);
    retry_.Start(std::max(left, net::milliseconds(1)));
  });
  not_yet_ = true;
  return Error{ErrorCode::kUnavailable,
               options_.name +
                   ": not taken up yet: a server that has just started says what it knew earlier, "
                   "and this may be such an answer (" +
                   (HasIndex(response) ? "the agent's index went backwards"
                                       : "nothing numbers it, and the agent failed before it") +
                   ")"};
}

bool Watch::MayBeOlder(const http::Response& response, const Subscriber::Facts& facts) const {
  // One of the agent's cache that is behind is not taken up in any case.
  if (facts.behind || state_.source == State::Source::kNone) return false;
  const bool failed =
      doubted_ || state_.phase == State::Phase::kRetrying || state_.source == State::Source::kDisk;
  const std::uint64_t index = HeaderNumber(response, kIndexHeader).value_or(0);
  if (index != 0 && state_.index != 0)
    return index < state_.index && (failed || options_.rewinds == Options::Rewinds::kWait);
  return failed && !(vouched_at_ && facts.answered_after >= *vouched_at_);
}

std::string Watch::MissesPermission() {
  const std::string sent = AskedWith();
  return sent.empty() ? "it was asked without a token" + agent_.WhyNoToken()
                      : "a permission is missing from " + agent_.TokenName(sent);
}

void Watch::Keep(const http::Response& response) {
  if (ticket_) agent_.store()->Keep(*ticket_, KeptHeaders(response), response.body);
}

void Watch::Restore() {
  if (!ticket_ || state_.source != State::Source::kNone) return;
  auto saved = agent_.store()->Saved(*ticket_);
  if (!saved) return;
  const auto age = std::chrono::system_clock::now() - saved->confirmed;
  const bool handed = saved->handed;
  http::Response response;
  response.status = 200;
  response.from_disk = true;
  response.headers = std::move(saved->headers);
  response.body = std::move(saved->body);
  std::string version = ContentVersion(response);
  const std::weak_ptr<bool> alive = alive_;
  const std::shared_ptr<const Apply> apply = apply_;  // it may end this watch
  Status applied = (*apply)(response);
  tls::Cleanse(&response.body);
  if (alive.expired()) return;
  if (!applied) {
    log_.Err("agent", "saved state not used",
             {{"watch", options_.name}, {"reason", applied.error().message}});
    return;
  }
  state_.source = handed ? State::Source::kPredecessor : State::Source::kDisk;
  state_.filtered = HeaderSays(response, kFilteredHeader, "true");
  state_.version = std::move(version);
  state_.index = HeaderNumber(response, kIndexHeader).value_or(0);
  state_.fresh_at = loop_.now() - std::chrono::duration_cast<net::MonotonicTime::duration>(age);
  // A time of confirmation that has not come yet proves no age: with a limit it is beyond it.
  if (age < -kClockSlack) state_.fresh_at = net::MonotonicTime{} - std::chrono::hours(24 * 365);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(age).count();
  if (handed) {
    log_.Warn("agent", "serving by what the predecessor has handed over",
              {{"watch", options_.name}, {"age_seconds", seconds}});
  } else {
    log_.Warn("agent", "serving from saved state",
              {{"watch", options_.name}, {"age_seconds", seconds}});
  }
}

}  // namespace mooring::control
