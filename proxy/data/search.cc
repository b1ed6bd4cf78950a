#include "proxy/data/search.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "proxy/data/probes.h"

namespace mooring::data {

Search::Search(Host& host, Owner& owner, std::string listener)
    : host_(host),
      owner_(owner),
      listener_(std::move(listener)),
      deadline_(host.loop(), [this] { OnDeadline(); }),
      delay_(host.loop(), [this] { OnDelayOver(); }) {}

void Search::Begin() {
  const auto upstream = host_.UpstreamOf(listener_);
  static const UpstreamRules kUnknown;
  const UpstreamRules& rules = upstream ? *upstream->rules() : kUnknown;
  const net::MonotonicTime now = host_.loop().now();
  attempts_ = Attempts(now + rules.connect_timeout, rules.attempts);
  if (rules.use) rules.use->Note(now);
  early_ = host_.snapshot() && host_.snapshot()->early_until > now;
  const auto early = std::chrono::ceil<net::milliseconds>(
      early_ ? host_.snapshot()->early_until - now : net::MonotonicTime::duration(0));
  deadline_.Start(std::max(rules.connect_timeout, early));
  OnSnapshot();
}

void Search::OnSnapshot() {
  // A handshake is judged at its end, on the newest snapshot.
  if (stage_ != Stage::kWaiting) return;
  const std::shared_ptr<const Snapshot>& snapshot = host_.snapshot();
  if (!snapshot || !snapshot->identity) return;  // just started
  auto upstream = host_.UpstreamOf(listener_);
  if (!upstream || !upstream->rules()->known || !upstream->rules()->identity) return;
  upstream_ = std::move(upstream);
  stage_ = Stage::kTrying;
  if (early_) {
    attempts_ = Attempts(host_.loop().now() + rules().connect_timeout, rules().attempts);
    deadline_.Start(rules().connect_timeout);
  }
  if (snapshot->identity->leaf->ExpiredAt(std::chrono::system_clock::now())) {
    GiveUp(CloseReason::kLeafExpired);  // every peer would refuse it; this names the reason
  } else if (snapshot->roots_stale || rules().stale) {
    GiveUp(CloseReason::kStale);
  } else if (rules().endpoints.empty()) {
    GiveUp(CloseReason::kNoEndpoint);
  } else {
    (void)host_.probes().BeginDue(upstream_);
    if (rules().retries) rules().retries->NoteConnection(host_.loop().now());
    TryNext();
  }
}

std::optional<Lease> Search::NextEndpoint() {
  std::optional<Lease> lease;
  if (Left().count() <= 0) return lease;
  choice_.last_resort = under_way_.empty();
  if (attempts_.MayBegin()) upstream_->Pick(choice_, host_.loop().now(), &lease);
  exhausted_ = !lease;
  return lease;
}

void Search::TryNext() {
  if (std::optional<Lease> lease = NextEndpoint()) {
    // Nobody is kept waiting where none is left: it begins in the place of one that has failed.
    if (attempts_.begun() > 0 && rules().retries) (void)rules().retries->Take(host_.loop().now());
    BeginAttempt(*std::move(lease));
  } else if (under_way_.empty()) {
    GiveUp(attempts_.Verdict(exhausted_));
  }
}

void Search::BeginAttempt(Lease lease) {
  attempts_.Begin();
  held_back_ = false;
  under_way_.emplace_back(host_, *this, *upstream_, std::move(lease));
  delay_.Start(rules().attempt_delay);
  under_way_.back().Begin(Left());
}

void Search::OnDelayOver() {
  const auto& budget = rules().retries;
  if (!held_back_ && budget && !budget->Take(host_.loop().now())) {
    held_back_ = true;
    const net::MonotonicTime began = under_way_.back().began();
    const auto passed = std::chrono::duration_cast<net::milliseconds>(host_.loop().now() - began);
    delay_.Start(
        std::max(attempts_.Share(began, rules().endpoints.size()) - passed, net::milliseconds(0)));
    return;
  }
  std::optional<Lease> lease = NextEndpoint();
  if (!lease) {  // those under way have the rest of the time
    if (!held_back_ && budget) budget->GiveBack();
    return;
  }
  if (held_back_) ExpireAll("in its share of the time");
  BeginAttempt(*std::move(lease));
}

void Search::OnDeadline() {
  if (stage_ == Stage::kWaiting) {
    GiveUp(CloseReason::kNotReady);
    return;
  }
  ExpireAll("in time");
  GiveUp(attempts_.Verdict(exhausted_ || attempts_.begun() >= rules().endpoints.size()));
}

void Search::OnProven(Attempt& winner) {
  // Whoever was begun before the newest has had attempt_delay. Where the winner needed less, that
  // is to their blame; where it needed more, the way or this machine may be slow.
  const bool overtook =
      &winner == &under_way_.back() && winner.proven_at() - winner.began() <= rules().attempt_delay;
  for (Attempt& other : under_way_) {
    if (&other == &winner) continue;
    other.ResetOnClose();
    if (overtook) NoteFailure(other, other.Expire("before another instance had proven itself"));
  }
  under_way_.remove_if([&](const Attempt& each) { return &each != &winner; });
  stage_ = Stage::kFound;
  failure_.clear();
  delay_.Stop();
  deadline_.Stop();
  owner_.OnFound(winner.TakeStream());
}

void Search::OnFailed(Attempt& attempt, const AttemptFailure& failure) {
  NoteFailure(attempt, failure);
  if (attempts_.IsDenied()) {
    ResetOnClose();
    under_way_.clear();
    GiveUp(CloseReason::kDenied);
    return;
  }
  const bool newest = &attempt == &under_way_.back();
  under_way_.remove_if([&](const Attempt& each) { return &each == &attempt; });
  if (!newest) return;  // a later one is under way, and has its time
  delay_.Stop();
  TryNext();
}

void Search::GoOn(CloseReason reason, const std::string& detail) {
  stage_ = Stage::kTrying;
  deadline_.Start(std::max(Left(), net::milliseconds(0)));
  OnFailed(under_way_.back(), {reason, detail});
}

void Search::ExpireAll(std::string_view why) {
  for (Attempt& attempt : under_way_) NoteFailure(attempt, attempt.Expire(why));
  under_way_.clear();
}

void Search::NoteFailure(const Attempt& attempt, const AttemptFailure& failure) {
  ReportFailure(host_, listener_, *upstream_, attempt.lease(), attempt.began(), failure);
  attempts_.Failed(failure.reason, /*another=*/&attempt != &under_way_.back());
  failure_ = attempt.endpoint().address.Text() + ": " + failure.detail;
}

void Search::GiveUp(CloseReason reason) {
  stage_ = Stage::kOver;
  deadline_.Stop();
  delay_.Stop();
  if (attempts_.begun() == 0) {  // failed attempts have had their own line
    host_.StrangerLog(reason, log::Level::kWarn, "upstream unreachable", listener_,
                      {{"upstream", listener_}, {"reason", CloseReasonName(reason)}});
  }
  owner_.OnNotFound(reason);
}

void Search::Describe(Record* record) const noexcept {
  record->attempts = static_cast<unsigned>(attempts_.begun());
  if (under_way_.empty()) return;
  const Attempt& attempt = under_way_.back();
  record->endpoint = attempt.endpoint().address;
  record->instance = attempt.endpoint().instance;
  if (stage_ != Stage::kFound) return;
  record->connect_took = attempt.connect_took();
  record->handshake_took = attempt.handshake_took();
}

Search::Found Search::Conclude() {
  stage_ = Stage::kOver;
  Attempt& winner = under_way_.back();
  if (rules().early_close.count() == 0) {
    upstream_->Report(winner.lease(), LoadBalancer::Outcome::kProven, winner.began(),
                      winner.proven_at());
  }
  Found found{upstream_, winner.TakeLease(), winner.began(), winner.proven_at()};
  under_way_.clear();
  return found;
}

void Search::ResetOnClose() {
  for (Attempt& attempt : under_way_) attempt.ResetOnClose();
}

}  // namespace mooring::data
