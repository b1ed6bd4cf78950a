#include "proxy/data/probe.h"

#include <algorithm>
#include <utility>

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
  upstream_->ReportProbe(attempt.lease(), LoadBalancer::Outcome::kProven, attempt.began(),
                         attempt.proven_at());
  // Closing a socket that holds unread bytes, such as tickets, would be a reset.
  proven_ = attempt.TakeStream();
  proven_->SetObserver(this);
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
  if (stream.Discard()) owner_.OnOver(*this);
}

void Probe::OnDrained(net::Stream&) {}

void Probe::OnBroken(net::Stream&) { owner_.OnOver(*this); }

void Probe::OnTimeOver() {
  if (proven_) {
    owner_.OnOver(*this);
  } else {
    OnFailed(attempt_, attempt_.Expire("in time"));
  }
}

}  // namespace mooring::data
