#include "proxy/data/outbound.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "proxy/data/leg_failure.h"
#include "proxy/data/worker.h"
#include "tls/session.h"

namespace mooring::data {
namespace {

using net::milliseconds;

// One silent endpoint may not eat the whole deadline while others are left: each attempt gets its share
// of what remains, of this many at most.
constexpr std::size_t kShares = 3;

CloseReason FromErrno(int error) {
  if (error == ETIMEDOUT) return CloseReason::kConnectTimeout;
  return net::IsShortage(error) ? CloseReason::kOutOfResources : CloseReason::kConnectRefused;
}

}  // namespace

Outbound::Outbound(Worker& worker, std::string upstream, net::UniqueFd&& app)
    : Connection(worker.loop(), ListenerKind::kUpstream),
      worker_(worker),
      upstream_(std::move(upstream)),
      deadline_(worker.loop(), [this] { OnDeadline(); }),
      app_(worker.loop(), std::move(app), this) {}

Outbound::~Outbound() = default;

void Outbound::Begin() {
  app_.CountKept(&worker_.buffers());
  app_.WantRead(false);  // but a reset is noticed, and ends the search for an instance
  const Snapshot* snapshot = worker_.snapshot().get();
  const auto found = snapshot == nullptr ? std::map<std::string, std::shared_ptr<const UpstreamRules>>::const_iterator{}
                                         : snapshot->upstreams.find(upstream_);
  const bool configured = snapshot != nullptr && found != snapshot->upstreams.end();
  const milliseconds limit = configured ? found->second->connect_timeout : UpstreamRules{}.connect_timeout;
  give_up_ = worker_.loop().now() + limit;
  if (configured && found->second->use) found->second->use->Note(worker_.loop().now());
  deadline_.Start(limit);
  Find();
}

void Outbound::OnSnapshot(Judge& judge, net::MonotonicTime changed) {
  switch (stage_) {
    case Stage::kWaiting:
      Find();
      return;
    case Stage::kConnect:
    case Stage::kHandshake:  // judged at its end, on the newest snapshot
    case Stage::kOver:
      return;
    case Stage::kProven:
      if (Remaining().count() <= 0) {
        StartRelay(std::nullopt);  // no time is left for another instance: from here on it is a live connection
        break;
      }
      if (const auto objection = judge.OfInstance(*peer_->session(), Moment::kLive)) {
        peer_->SendAlert(objection->alert);
        app_.WantRead(false);
        AttemptFailed(objection->reason, objection->detail);
      }
      return;
    case Stage::kRelay:
      break;
  }
  if (stage_ != Stage::kRelay) return;  // it has ended at once
  const LivePolicy& policy = worker_.snapshot()->live;
  if (!policy.cut_revoked) return;
  switch (grace_.Note(policy, judge.OfInstance(*peer_->session(), grace_.moment()), changed)) {
    case Grace::Then::kGoesOn: return deadline_.Stop();
    case Grace::Then::kWaits: return deadline_.Start(grace_.Left(worker_.loop().now()));
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

void Outbound::Find() {
  const std::shared_ptr<const Snapshot>& snapshot = worker_.snapshot();
  if (!snapshot || !snapshot->identity) return;  // just started: wait for it, within the deadline
  auto upstream = worker_.UpstreamOf(upstream_);
  if (!upstream || !upstream->rules()->known || !upstream->rules()->identity) return;
  endpoints_ = std::move(upstream);
  rules_ = endpoints_->rules();
  identity_ = snapshot->identity;
  if (identity_->leaf->not_after() <= std::chrono::system_clock::now()) {
    Fail(CloseReason::kLeafExpired);  // every peer would refuse it; this names the reason
    return;
  }
  if (snapshot->roots_stale || rules_->stale) {
    Fail(CloseReason::kStale);
    return;
  }
  if (rules_->endpoints.empty()) {
    Fail(CloseReason::kNoEndpoint);
    return;
  }
  TryNext();
}

void Outbound::TryNext() {
  endpoints_->Pick(choice_, &lease_);
  if (!lease_ || Remaining().count() <= 0) {
    const bool ours = last_failure_ == CloseReason::kOutOfResources;  // not the endpoints' doing
    Fail(!lease_ && attempts_ > 1 && !ours ? CloseReason::kConnectFailed : last_failure_);
    return;
  }
  ++attempts_;
  Dial();
}

void Outbound::Dial() {
  const milliseconds remaining = Remaining();
  const std::size_t count = endpoints_->rules()->endpoints.size();
  const std::size_t left = count >= attempts_ ? count + 1 - attempts_ : 1;  // with this one; the list may have become shorter
  stage_ = Stage::kConnect;
  attempt_began_ = worker_.loop().now();
  deadline_.Start(remaining / static_cast<milliseconds::rep>(std::min(left, kShares)));
  net::ConnectStart start = net::StartConnect(Tried().address);
  if (start.error == 0 && !start.in_progress) {
    OnConnected(std::move(start.fd), 0);
    return;
  }
  dialer_.emplace(worker_.loop(), std::move(start), remaining,
                  [this](net::UniqueFd fd, int error) { OnConnected(std::move(fd), error); });
}

void Outbound::OnConnected(net::UniqueFd fd, int error) {
  if (error != 0) {
    AttemptFailed(FromErrno(error), std::strerror(error));
    return;
  }
  // Leaf, roots and the identity to prove are those of now.
  const std::shared_ptr<const Snapshot>& now = worker_.snapshot();
  if (now->identity) identity_ = now->identity;
  const std::shared_ptr<const authz::ServiceId> expected = endpoints_->IdentityOf(*lease_);
  if (!expected) {
    AttemptFailed(CloseReason::kNotReady, "whom it must prove to be is not known any more");
    return;
  }
  stage_ = Stage::kHandshake;
  peer_.emplace(worker_.loop(), std::move(fd), this);
  peer_->CountKept(&worker_.buffers());
  const std::string place = try_tickets_ && rules_->resumes ? Tried().address.Text() : std::string();
  peer_->StartTls(tls::Session::Connect(identity_->client, expected->Sni(), *expected, place));
  peer_->WantRead(true);
  ContinueHandshake(false);  // sends the ClientHello
}

void Outbound::OnReadable(net::Stream& stream) {
  switch (stage_) {
    case Stage::kHandshake:
      if (&stream != &app_) ContinueHandshake(true);
      return;
    case Stage::kProven:
      if (&stream == &app_) {
        StartRelay(std::nullopt);
        if (stage_ == Stage::kRelay) relay_->OnReadable(app_);
      } else {
        OnFirstAnswer();
      }
      return;
    case Stage::kWaiting:
    case Stage::kConnect:
    case Stage::kRelay:
    case Stage::kOver:
      return;
  }
}

void Outbound::ContinueHandshake(bool readable) {
  switch (peer_->Handshake(readable)) {
    case tls::Progress::kWantInput:
      return;
    case tls::Progress::kDone:
      OnProven();
      return;
    case tls::Progress::kClosed:
    case tls::Progress::kFailed: {
      if (peer_->session()->MayFailOverTicket()) {
        TryWithoutTicket();
        return;
      }
      AttemptFailed(ReasonOf(*peer_, Reached::kInstancesHandshake), DetailOf(*peer_));
      return;
    }
  }
}

// A peer that trips over a ticket, instead of ignoring one that it does not like (RFC 8446 4.2.11), still gets its full
// handshake.
void Outbound::TryWithoutTicket() {
  peer_->session()->TicketFailed();
  try_tickets_ = false;
  deadline_.Stop();
  peer_.reset();
  if (Remaining().count() <= 0) {
    Fail(last_failure_);
  } else {
    Dial();
  }
}

void Outbound::OnProven() {
  // A root that was withdrawn during the handshake must not admit this peer any more.
  if (const auto& newest = worker_.snapshot()->identity; newest && newest->roots != identity_->roots) {
    identity_ = newest;
    const tls::Judgement again = peer_->session()->Rejudge(*identity_->roots);
    if (again.refusal != tls::Refusal::kNone) {
      AttemptFailed(FromRefusal(again.refusal), again.detail);
      return;
    }
  }
  if (peer_->session()->resumed()) worker_.mutable_stats().outbound.resumed.Add();
  stage_ = Stage::kProven;
  proven_at_ = worker_.loop().now();
  deadline_.Stop();
  if (rules_->idle_timeout.count() > 0) deadline_.Start(rules_->idle_timeout);
  if (peer_->BufferedInput()) {
    OnFirstAnswer();
    return;
  }
  app_.WantRead(true);
}

void Outbound::OnFirstAnswer() {
  const net::Stream::ReadResult result = peer_->Read(peer_->MayKeep() ? net::kReadBurst : net::kRecord);
  switch (result.status) {
    case net::Stream::ReadStatus::kAgain:
      app_.WantRead(true);
      return;
    case net::Stream::ReadStatus::kFailed: {
      // Refused after all, and no byte of the app's has gone: another instance may do.
      app_.WantRead(false);
      AttemptFailed(ReasonOf(*peer_, Reached::kProven), DetailOf(*peer_));
      return;
    }
    case net::Stream::ReadStatus::kData:
    case net::Stream::ReadStatus::kEnd:
    case net::Stream::ReadStatus::kTruncated:
      StartRelay(result);
      return;
  }
}

void Outbound::StartRelay(std::optional<net::Stream::ReadResult> first) {
  Report(LoadBalancer::Outcome::kProven, proven_at_);
  stage_ = Stage::kRelay;
  deadline_.Stop();
  relay_.emplace(worker_.loop(), app_, *peer_, rules_->idle_timeout,
                 [this](CloseReason reason) { Over(reason); });
  relay_->Start(first);
}

void Outbound::AttemptFailed(CloseReason reason, const std::string& detail) {
  worker_.mutable_stats().outbound.attempts_failed[reason].Add();
  worker_.StrangerLog(reason, log::Level::kWarn, "upstream attempt failed", Tried().address.Text(),
                      {{"upstream", upstream_},
                       {"endpoint", Tried().address.Text()},
                       {"reason", CloseReasonName(reason)},
                       {"detail", detail}});
  if (reason != CloseReason::kOutOfResources) Report(LoadBalancer::Outcome::kFailed, worker_.loop().now());
  last_failure_ = reason;
  deadline_.Stop();
  dialer_.reset();
  peer_.reset();
  TryNext();
}

void Outbound::OnDeadline() {
  switch (stage_) {
    case Stage::kWaiting:
      Fail(CloseReason::kNotReady);
      return;
    case Stage::kConnect:
      AttemptFailed(CloseReason::kConnectTimeout, "no connection in time");
      return;
    case Stage::kHandshake:
      if (peer_->session()->MayFailOverTicket()) peer_->session()->TicketFailed();  // the time is up, but the next one may do
      AttemptFailed(CloseReason::kHandshakeTimeout, "no TLS handshake in time");
      return;
    case Stage::kProven:  // the idle limit: neither side has sent a byte
      Over(CloseReason::kIdleTimeout);
      return;
    case Stage::kRelay:  // the grace of a revoked connection
      if (BeforeEvent() && grace_.objection()) CutLive(*grace_.objection());
      return;
    case Stage::kOver:
      return;
  }
}

void Outbound::Fail(CloseReason reason) {
  if (attempts_ == 0) {  // failed attempts have had their own line
    worker_.StrangerLog(reason, log::Level::kWarn, "upstream unreachable", upstream_,
                        {{"upstream", upstream_}, {"reason", CloseReasonName(reason)}});
  }
  app_.ResetOnClose();
  Over(reason);
}

void Outbound::OnDrained(net::Stream&) {}

void Outbound::OnBroken(net::Stream& stream) {
  if (&stream == &app_ && net::IsShortage(app_.error())) {
    worker_.LogShortage("outbound ended", upstream_, app_.error());
    Cut(CloseReason::kOutOfResources);
  } else if (&stream == &app_) {
    Over(ReasonOf(app_, Reached::kLive));  // the app has given up; nobody is owed an answer
  } else if (stage_ == Stage::kHandshake && peer_->session()->MayFailOverTicket()) {
    TryWithoutTicket();
  } else if (stage_ == Stage::kHandshake || stage_ == Stage::kProven) {
    AttemptFailed(ReasonOf(*peer_, stage_ == Stage::kProven ? Reached::kProven : Reached::kInstancesHandshake), DetailOf(*peer_));
  }
}

void Outbound::Cut(CloseReason reason) noexcept {
  if (relay_) relay_->Cut(reason);
  if (stage_ == Stage::kOver) return;
  app_.ResetOnClose();
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

bool Outbound::EndIfQuiet(milliseconds quiet) {
  switch (stage_) {
    case Stage::kWaiting:
    case Stage::kConnect:
    case Stage::kHandshake:  // the app may have spoken: its search ends by itself
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
  deadline_.Stop();
  dialer_.reset();
  DirectionStats& stats = worker_.mutable_stats().outbound;
  bytes_.Feed(stats, app_.bytes_in(), app_.bytes_out());
  lease_.reset();
  worker_.Retire(this, stats, reason);
}

void Outbound::Report(LoadBalancer::Outcome outcome, net::MonotonicTime at) {
  endpoints_->Report(*lease_, outcome, std::chrono::duration_cast<std::chrono::microseconds>(at - attempt_began_));
}

milliseconds Outbound::Remaining() const {
  return std::chrono::duration_cast<milliseconds>(give_up_ - worker_.loop().now());
}

}  // namespace mooring::data
