#include "proxy/data/outbound.h"

#include <utility>

#include "proxy/data/leg_failure.h"
#include "proxy/data/worker.h"

namespace mooring::data {

Outbound::Outbound(Worker& worker, std::string upstream, net::UniqueFd&& app)
    : Connection(worker.loop(), ListenerKind::kUpstream),
      worker_(worker),
      upstream_(std::move(upstream)),
      silence_(worker.loop(), [this] { Over(CloseReason::kIdleTimeout); }),
      grace_over_(worker.loop(),
                  [this] {
                    if (BeforeEvent() && grace_.objection()) CutLive(*grace_.objection());
                  }),
      app_(worker.loop(), std::move(app), this) {}

Outbound::~Outbound() = default;

void Outbound::Begin() {
  app_.CountKept(&worker_.buffers());
  app_.WantRead(false);  // but a reset is noticed, and ends the search
  search_ = std::make_unique<Search>(worker_, *this, upstream_);
  search_->Begin();
}

void Outbound::OnSnapshot(Judge& judge, net::MonotonicTime changed) {
  switch (stage_) {
    case Stage::kSearching:
      if (search_) search_->OnSnapshot();
      return;
    case Stage::kProven:
      if (search_->Left().count() <= 0) {
        StartRelay(std::nullopt);  // no time is left for another instance: from here on it is a live connection
        break;
      }
      if (const auto objection = judge.OfInstance(*peer_->session(), Moment::kLive)) {
        peer_->SendAlert(objection->alert);
        TryAnother(objection->reason, objection->detail);
      }
      return;
    case Stage::kRelay:
      break;
    case Stage::kOver:
      return;
  }
  if (stage_ != Stage::kRelay) return;  // it has ended at once
  const LivePolicy& policy = worker_.snapshot()->live;
  if (!policy.cut_revoked) return;
  switch (grace_.Note(policy, judge.OfInstance(*peer_->session(), grace_.moment()), changed)) {
    case Grace::Then::kGoesOn: return grace_over_.Stop();
    case Grace::Then::kWaits: return grace_over_.Start(grace_.Left(worker_.loop().now()));
    case Grace::Then::kEnds: return CutLive(*grace_.objection());
  }
}

void Outbound::CutLive(const Objection& objection) {
  worker_.StrangerLog(objection.reason, log::Level::kInfo, "outbound cut", upstream_,
                      {{"upstream", upstream_},
                       {"reason", CloseReasonName(objection.reason)},
                       {"detail", objection.detail}});
  peer_->SendAlert(objection.alert);
  Cut(objection.reason);
}

void Outbound::OnFound(std::unique_ptr<net::Stream> proven) {
  stage_ = Stage::kProven;
  proven_at_ = worker_.loop().now();
  peer_ = std::move(proven);
  peer_->SetObserver(this);
  if (const auto limit = search_->rules().idle_timeout; limit.count() > 0) silence_.Start(limit);
  if (peer_->BufferedInput()) {
    OnFirstAnswer();
    return;
  }
  app_.WantRead(true);
}

void Outbound::OnNotFound(CloseReason reason) {
  app_.ResetOnClose();  // never a clean end
  Over(reason);
}

void Outbound::OnReadable(net::Stream& stream) {
  if (stage_ != Stage::kProven) return;
  if (&stream != &app_) {
    OnFirstAnswer();
    return;
  }
  StartRelay(std::nullopt);
  if (stage_ == Stage::kRelay) relay_->OnReadable(app_);
}

void Outbound::OnFirstAnswer() {
  const net::Stream::ReadResult result = peer_->Read(peer_->MayKeep() ? net::kReadBurst : net::kRecord);
  switch (result.status) {
    case net::Stream::ReadStatus::kAgain:
      app_.WantRead(true);
      return;
    case net::Stream::ReadStatus::kFailed:
      // Refused after all, and no byte of the app's has gone: another instance may do.
      TryAnother(ReasonOf(*peer_, Reached::kProven), DetailOf(*peer_));
      return;
    case net::Stream::ReadStatus::kData:
    case net::Stream::ReadStatus::kEnd:
    case net::Stream::ReadStatus::kTruncated:
      StartRelay(result);
      return;
  }
}

void Outbound::TryAnother(CloseReason reason, const std::string& detail) {
  stage_ = Stage::kSearching;
  silence_.Stop();
  app_.WantRead(false);
  peer_.reset();
  search_->GoOn(reason, detail);
}

void Outbound::StartRelay(std::optional<net::Stream::ReadResult> first) {
  stage_ = Stage::kRelay;
  silence_.Stop();
  const net::milliseconds idle_timeout = search_->rules().idle_timeout;
  lease_.emplace(search_->Conclude());
  search_.reset();
  relay_.emplace(worker_.loop(), app_, *peer_, idle_timeout, [this](CloseReason reason) { Over(reason); });
  relay_->Start(first);
}

void Outbound::OnDrained(net::Stream&) {}

void Outbound::OnBroken(net::Stream& stream) {
  if (&stream == &app_ && net::IsShortage(app_.error())) {
    worker_.LogShortage("outbound ended", upstream_, app_.error());
    Cut(CloseReason::kOutOfResources);
  } else if (&stream == &app_) {
    Over(ReasonOf(app_, Reached::kLive));  // the app has given up; nobody is owed an answer
  } else if (stage_ == Stage::kProven) {
    TryAnother(ReasonOf(*peer_, Reached::kProven), DetailOf(*peer_));
  }
}

void Outbound::Cut(CloseReason reason) noexcept {
  if (relay_) relay_->Cut(reason);
  if (stage_ == Stage::kOver) return;
  app_.ResetOnClose();
  if (search_) search_->ResetOnClose();
  if (peer_) peer_->ResetOnClose();
  Over(reason);
}

void Outbound::OnEscaped() noexcept { Cut(worker_.OnConnectionEscaped("outbound ended")); }

void Outbound::OnSweep() {
  if (stage_ != Stage::kRelay && stage_ != Stage::kProven) return;
  bytes_.Feed(worker_.mutable_stats().outbound, app_.bytes_in(), app_.bytes_out());
  if (TooOld(worker_.snapshot()->live, proven_at_, worker_.loop().now())) {
    Cut(CloseReason::kMaxConnectionAge);
    return;
  }
  if (stage_ == Stage::kRelay) relay_->CheckPeers();
}

bool Outbound::EndIfQuiet(net::milliseconds quiet) {
  switch (stage_) {
    case Stage::kSearching:  // the app may have spoken: its search ends by itself
      return false;
    case Stage::kProven:
      if (worker_.loop().now() - proven_at_ < quiet || net::Unread(app_.fd()) > 0 || net::Unread(peer_->fd()) > 0) return false;
      StartRelay(std::nullopt);
      break;
    case Stage::kRelay:
      if (!relay_->ended() && !relay_->BetweenExchanges(app_, quiet)) return false;
      break;
    case Stage::kOver:
      return true;
  }
  if (stage_ == Stage::kRelay && !relay_->ended()) relay_->End(CloseReason::kDrained);
  return true;
}

void Outbound::Over(CloseReason reason) noexcept {
  if (stage_ == Stage::kOver) return;
  stage_ = Stage::kOver;
  silence_.Stop();
  grace_over_.Stop();
  search_.reset();
  lease_.reset();
  DirectionStats& stats = worker_.mutable_stats().outbound;
  bytes_.Feed(stats, app_.bytes_in(), app_.bytes_out());
  worker_.Retire(this, stats, reason);
}

}  // namespace mooring::data
