#include "proxy/data/search.h"

#include <chrono>
#include <cstring>
#include <utility>

#include "proxy/data/leg_failure.h"
#include "tls/session.h"

namespace mooring::data {
namespace {

std::chrono::microseconds Between(net::MonotonicTime from, net::MonotonicTime to) {
  return std::chrono::duration_cast<std::chrono::microseconds>(to - from);
}

}  // namespace

Search::Search(Host& host, Owner& owner, std::string listener)
    : host_(host),
      owner_(owner),
      listener_(std::move(listener)),
      waiting_(host.loop(), [this] { GiveUp(CloseReason::kNotReady); }),
      attempt_(host.loop(), [this] { OnAttemptOver(); }) {}

void Search::Begin() {
  const auto upstream = host_.UpstreamOf(listener_);
  const net::milliseconds limit =
      upstream ? upstream->rules()->connect_timeout : UpstreamRules{}.connect_timeout;
  attempts_ = Attempts(host_.loop().now() + limit);
  if (upstream && upstream->rules()->use) upstream->rules()->use->Note(host_.loop().now());
  waiting_.Start(limit);
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
  identity_ = snapshot->identity;
  waiting_.Stop();
  if (identity_->leaf->ExpiredAt(std::chrono::system_clock::now())) {
    GiveUp(CloseReason::kLeafExpired);  // every peer would refuse it; this names the reason
  } else if (snapshot->roots_stale || upstream_->rules()->stale) {
    GiveUp(CloseReason::kStale);
  } else if (upstream_->rules()->endpoints.empty()) {
    GiveUp(CloseReason::kNoEndpoint);
  } else {
    TryNext();
  }
}

void Search::TryNext() {
  choice_.last_resort = true;  // one attempt at a time: the one before is over
  upstream_->Pick(choice_, host_.loop().now(), &lease_);
  if (!lease_ || Left().count() <= 0) {
    GiveUp(attempts_.Verdict(/*exhausted=*/!lease_));
    return;
  }
  attempts_.Begin();
  Dial();
}

void Search::Dial() {
  stage_ = Stage::kConnect;
  attempt_began_ = host_.loop().now();
  attempt_.Start(attempts_.Share(attempt_began_, upstream_->rules()->endpoints.size()));
  net::ConnectStart start = net::StartConnect(lease_->endpoint().address);
  if (start.error == 0 && !start.in_progress) {
    OnConnected(std::move(start.fd), 0);
    return;
  }
  dialer_.emplace(host_.loop(), std::move(start), Left(),
                  [this](net::UniqueFd fd, int error) { OnConnected(std::move(fd), error); });
}

void Search::OnConnected(net::UniqueFd fd, int error) {
  if (error != 0) {
    AttemptFailed(ReasonOfDial(error, Dialed::kInstance), std::strerror(error));
    return;
  }
  // Leaf, roots and the identity to prove are those of now.
  if (const auto& newest = host_.snapshot()->identity) identity_ = newest;
  const std::shared_ptr<const authz::ServiceId> expected = upstream_->IdentityOf(*lease_);
  if (!expected) {
    AttemptFailed(CloseReason::kNotReady, "whom it must prove to be is not known any more");
    return;
  }
  stage_ = Stage::kHandshake;
  connected_at_ = host_.loop().now();
  peer_ = std::make_unique<net::Stream>(host_.loop(), std::move(fd), this);
  peer_->CountKept(&host_.buffers());
  const bool resumes = try_tickets_ && upstream_->rules()->resumes;
  const std::string place = resumes ? lease_->endpoint().address.Text() : std::string();
  peer_->StartTls(tls::Session::Connect(identity_->client, expected->Sni(), *expected, place));
  peer_->WantRead(true);
  ContinueHandshake(false);  // sends the ClientHello
}

void Search::OnReadable(net::Stream&) { ContinueHandshake(true); }

void Search::OnDrained(net::Stream&) {}

void Search::ContinueHandshake(bool readable) {
  if (stage_ != Stage::kHandshake) return;
  switch (peer_->Handshake(readable)) {
    case tls::Progress::kWantInput: return;
    case tls::Progress::kDone: OnProven(); return;
    case tls::Progress::kClosed:
    case tls::Progress::kFailed: {
      if (peer_->session()->MayFailOverTicket()) {
        TryWithoutTicket();
      } else {
        AttemptFailed(ReasonOf(*peer_, Reached::kInstancesHandshake),
                      DetailOf(*peer_, Reached::kInstancesHandshake));
      }
      return;
    }
  }
}

// A peer that trips over a ticket, instead of ignoring one that it does not like (RFC 8446 4.2.11),
// still gets its full handshake.
void Search::TryWithoutTicket() {
  peer_->session()->TicketFailed();
  try_tickets_ = false;
  attempt_.Stop();
  peer_.reset();
  if (Left().count() <= 0) {
    GiveUp(attempts_.Verdict(/*exhausted=*/false));
  } else {
    Dial();
  }
}

void Search::OnProven() {
  // A root that was withdrawn during the handshake must not admit this peer any more.
  if (const auto& newest = host_.snapshot()->identity;
      newest && newest->roots != identity_->roots) {
    identity_ = newest;
    const tls::Judgement again = peer_->session()->Rejudge(*identity_->roots);
    if (again.refusal != tls::Refusal::kNone) {
      AttemptFailed(FromRefusal(again.refusal), again.detail);
      return;
    }
  }
  if (peer_->session()->resumed()) host_.counters(ListenerKind::kUpstream).resumed.Add();
  host_.traffic().NoteHandshake(ListenerKind::kUpstream, /*done=*/true, peer_->session()->facts());
  stage_ = Stage::kFound;
  failure_.clear();
  found_at_ = host_.loop().now();
  attempt_.Stop();
  owner_.OnFound(std::move(peer_));
}

void Search::OnBroken(net::Stream& stream) {
  if (stage_ != Stage::kHandshake) return;
  if (stream.session()->MayFailOverTicket()) {
    TryWithoutTicket();
  } else {
    AttemptFailed(ReasonOf(stream, Reached::kInstancesHandshake),
                  DetailOf(stream, Reached::kInstancesHandshake));
  }
}

void Search::OnAttemptOver() {
  if (stage_ == Stage::kConnect) {
    AttemptFailed(CloseReason::kConnectTimeout, "no connection in time");
  } else if (stage_ == Stage::kHandshake) {
    // the time is up, but the next one may do
    if (peer_->session()->MayFailOverTicket()) peer_->session()->TicketFailed();
    AttemptFailed(CloseReason::kHandshakeTimeout, "no TLS handshake in time");
  }
}

void Search::GoOn(CloseReason reason, const std::string& detail) { AttemptFailed(reason, detail); }

void Search::AttemptFailed(CloseReason reason, const std::string& detail) {
  if (stage_ == Stage::kHandshake)
    host_.traffic().NoteHandshake(ListenerKind::kUpstream, /*done=*/false, {});
  const std::string endpoint = lease_->endpoint().address.Text();
  host_.counters(ListenerKind::kUpstream).attempts_failed[reason].Add();
  host_.StrangerLog(reason, log::Level::kWarn, "upstream attempt failed", endpoint,
                    {{"upstream", listener_},
                     {"endpoint", endpoint},
                     {"reason", CloseReasonName(reason)},
                     {"detail", detail}});
  if (reason != CloseReason::kOutOfResources) {
    lease_->endpoint().history->FailedFor(reason, host_.loop().now());
    upstream_->Report(*lease_, LoadBalancer::Outcome::kFailed, attempt_began_, host_.loop().now());
  }
  attempts_.Failed(reason);
  failure_ = endpoint + ": " + detail;
  attempt_.Stop();
  dialer_.reset();
  peer_.reset();
  TryNext();
}

void Search::GiveUp(CloseReason reason) {
  stage_ = Stage::kOver;
  if (attempts_.begun() == 0) {  // failed attempts have had their own line
    host_.StrangerLog(reason, log::Level::kWarn, "upstream unreachable", listener_,
                      {{"upstream", listener_}, {"reason", CloseReasonName(reason)}});
  }
  owner_.OnNotFound(reason);
}

void Search::Describe(Record* record) const noexcept {
  record->attempts = static_cast<unsigned>(attempts_.begun());
  if (!lease_) return;
  record->endpoint = lease_->endpoint().address;
  record->instance = lease_->endpoint().instance;
  if (stage_ != Stage::kFound) return;
  record->connect_took = Between(attempt_began_, connected_at_);
  record->handshake_took = Between(connected_at_, found_at_);
}

Lease Search::Conclude() {
  stage_ = Stage::kOver;
  upstream_->Report(*lease_, LoadBalancer::Outcome::kProven, attempt_began_, found_at_);
  Lease lease = std::move(*lease_);
  lease_.reset();
  return lease;
}

void Search::ResetOnClose() {
  if (peer_) peer_->ResetOnClose();
}

}  // namespace mooring::data
