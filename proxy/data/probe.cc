#include "proxy/data/probe.h"

#include <algorithm>
#include <utility>

#include "proxy/data/leg_failure.h"

namespace mooring::data {
namespace {

// A probe that hangs keeps others from being made; the next one is a second away.
constexpr net::milliseconds kLongest{2'000};
constexpr net::milliseconds kClosing{1'000};  // for the peer's own close

}  // namespace

Probe::Probe(Host& host, Owner& owner, std::shared_ptr<Upstream> upstream, Lease lease)
    : host_(host),
      owner_(owner),
      upstream_(std::move(upstream)),
      time_(host.loop(), [this] { OnTimeOver(); }),
      attempt_(host, *this, *upstream_, std::move(lease)) {}

void Probe::Begin() {
  const net::milliseconds limit = std::min(upstream_->rules()->connect_timeout, kLongest);
  time_.Start(limit);
  attempt_.Begin(limit);
}

void Probe::OnProven(Attempt& attempt) {
  stage_ = Stage::kProven;
  proven_ = attempt.TakeStream();
  proven_->SetObserver(this);
  const net::milliseconds early = upstream_->rules()->early_close;
  if (early.count() == 0) {
    Succeed();
    return;
  }
  time_.Start(std::min(early, kLongest));
  if (proven_->BufferedInput()) OnReadable(*proven_);
}

void Probe::ReportProven() noexcept {
  upstream_->ReportProbe(attempt_.lease(), LoadBalancer::Outcome::kProven, attempt_.began(),
                         attempt_.proven_at());
}

void Probe::Succeed() {
  stage_ = Stage::kClosing;
  ReportProven();
  // Closing a socket that holds unread bytes, such as tickets, would be a reset.
  proven_->Finish();
  proven_->BeginDiscard();
  time_.Start(kClosing);
  OnReadable(*proven_);
}

void Probe::OnFailed(Attempt& attempt, const AttemptFailure& failure) {
  if (failure.IsItsFault()) {
    const net::MonotonicTime now = host_.loop().now();
    attempt.endpoint().history->FailedFor(failure.reason, now);
    upstream_->ReportProbe(attempt.lease(), LoadBalancer::Outcome::kFailed, attempt.began(), now);
  }
  const std::string endpoint = attempt.endpoint().address.Text();
  host_.StrangerLog(failure.reason, log::Level::kWarn, "probe failed", endpoint,
                    {{"upstream", upstream_->rules()->name},
                     {"endpoint", endpoint},
                     {"reason", CloseReasonName(failure.reason)},
                     {"detail", failure.detail}});
  owner_.OnOver(*this);
}

void Probe::OnReadable(net::Stream& stream) {
  if (stage_ == Stage::kClosing) {
    if (stream.Discard()) owner_.OnOver(*this);
    return;
  }
  if (stage_ != Stage::kProven) return;
  switch (stream.Read().status) {
    case net::Stream::ReadStatus::kAgain: return;
    case net::Stream::ReadStatus::kData: Succeed(); return;
    case net::Stream::ReadStatus::kFailed:
      OnFailed(attempt_, {ReasonOf(stream, Reached::kProven), DetailOf(stream, Reached::kProven)});
      return;
    case net::Stream::ReadStatus::kEnd:
    case net::Stream::ReadStatus::kTruncated: OnFailed(attempt_, ClosedEarly()); return;
  }
}

void Probe::OnDrained(net::Stream&) {}

void Probe::OnBroken(net::Stream& stream) {
  if (stage_ == Stage::kProven) {
    OnBrokenOff(stream);
  } else {
    owner_.OnOver(*this);
  }
}

void Probe::OnBrokenOff(net::Stream& stream) {
  AttemptFailure failure{ReasonOf(stream, Reached::kProven), DetailOf(stream, Reached::kProven)};
  if (failure.reason == CloseReason::kDenied) {  // there is nothing wrong with it
    ReportProven();
    owner_.OnOver(*this);
  } else {
    OnFailed(attempt_, failure);
  }
}

void Probe::OnTimeOver() {
  switch (stage_) {
    case Stage::kTrying: OnFailed(attempt_, attempt_.Expire("in time")); return;
    case Stage::kProven: Succeed(); return;
    case Stage::kClosing: owner_.OnOver(*this); return;
  }
}

}  // namespace mooring::data
