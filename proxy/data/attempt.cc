#include "proxy/data/attempt.h"

#include <algorithm>
#include <cstring>

#include "proxy/data/leg_failure.h"
#include "tls/session.h"

namespace mooring::data {

Attempt::Attempt(Host& host, Owner& owner, Upstream& upstream, Lease lease)
    : host_(host), owner_(owner), upstream_(upstream), lease_(std::move(lease)) {}

void Attempt::Begin(net::milliseconds limit) {
  began_ = host_.loop().now();
  give_up_ = began_ + limit;
  Dial();
}

void Attempt::Dial() {
  stage_ = Stage::kConnect;
  dialled_at_ = host_.loop().now();
  net::ConnectStart start = net::StartConnect(endpoint().address);
  if (start.error == 0 && !start.in_progress) {
    OnConnected(std::move(start.fd), 0);
    return;
  }
  const auto left = std::chrono::duration_cast<net::milliseconds>(give_up_ - dialled_at_);
  dialer_.emplace(host_.loop(), std::move(start), std::max(left, net::milliseconds(0)),
                  [this](net::UniqueFd fd, int error) { OnConnected(std::move(fd), error); });
}

void Attempt::OnConnected(net::UniqueFd fd, int error) {
  if (error != 0) {
    Fail({ReasonOfDial(error, Dialed::kInstance), std::strerror(error)});
    return;
  }
  // Leaf, roots and the identity to prove are those of now.
  identity_ = host_.snapshot()->identity;
  const Upstream::Proof proof = upstream_.ToProve(lease_);
  if (!identity_ || !proof.identity) {
    Fail(
        {CloseReason::kNotReady, "who we are, or whom it must prove to be, is not known any more"});
    return;
  }
  stage_ = Stage::kHandshake;
  connected_at_ = host_.loop().now();
  peer_ = std::make_unique<net::Stream>(host_.loop(), std::move(fd), this);
  peer_->CountKept(&host_.buffers());
  const bool resumes = try_ticket_ && upstream_.rules()->resumes;
  const std::string place = resumes ? endpoint().address.Text() : std::string();
  peer_->StartTls(
      tls::Session::Connect(identity_->client, proof.server_name, *proof.identity, place));
  peer_->WantRead(true);
  ContinueHandshake(false);  // sends the ClientHello
}

void Attempt::OnReadable(net::Stream&) { ContinueHandshake(true); }

void Attempt::OnDrained(net::Stream&) {}

void Attempt::OnBroken(net::Stream&) {
  if (stage_ == Stage::kHandshake) OnHandshakeFailed();
}

void Attempt::ContinueHandshake(bool readable) {
  if (stage_ != Stage::kHandshake) return;
  switch (peer_->Handshake(readable)) {
    case tls::Progress::kWantInput: return;
    case tls::Progress::kDone: OnHandshakeDone(); return;
    case tls::Progress::kClosed:
    case tls::Progress::kFailed: OnHandshakeFailed(); return;
  }
}

void Attempt::OnHandshakeFailed() {
  if (!peer_->session()->MayFailOverTicket()) {
    Fail({ReasonOf(*peer_, Reached::kInstancesHandshake),
          DetailOf(*peer_, Reached::kInstancesHandshake)});
    return;
  }
  // A peer that trips over a ticket, instead of ignoring one that it does not like (RFC 8446
  // 4.2.11), still gets its full handshake.
  peer_->session()->TicketFailed();
  try_ticket_ = false;
  peer_.reset();
  Dial();
}

void Attempt::OnHandshakeDone() {
  // A root that was withdrawn during the handshake must not admit this peer any more.
  if (const auto& newest = host_.snapshot()->identity;
      newest && newest->roots != identity_->roots) {
    identity_ = newest;
    const tls::Judgement again = peer_->session()->Rejudge(*identity_->roots);
    if (again.refusal != tls::Refusal::kNone) {
      Fail({FromRefusal(again.refusal), again.detail});
      return;
    }
  }
  if (peer_->session()->resumed()) host_.counters(ListenerKind::kUpstream).resumed.Add();
  host_.traffic().NoteHandshake(ListenerKind::kUpstream, /*done=*/true, peer_->session()->facts());
  stage_ = Stage::kOver;
  proven_at_ = host_.loop().now();
  owner_.OnProven(*this);
}

void Attempt::Fail(AttemptFailure failure) {
  if (stage_ == Stage::kHandshake)
    host_.traffic().NoteHandshake(ListenerKind::kUpstream, /*done=*/false, {});
  stage_ = Stage::kOver;
  owner_.OnFailed(*this, failure);
}

AttemptFailure Attempt::Expire(std::string_view why) {
  const bool connected = std::exchange(stage_, Stage::kOver) == Stage::kHandshake;
  if (connected) {
    host_.traffic().NoteHandshake(ListenerKind::kUpstream, /*done=*/false, {});
    // the time is up, but the next one may do
    if (peer_->session()->MayFailOverTicket()) peer_->session()->TicketFailed();
  }
  dialer_.reset();
  return {connected ? CloseReason::kHandshakeTimeout : CloseReason::kConnectTimeout,
          (connected ? "no TLS handshake " : "no connection ") + std::string(why)};
}

void Attempt::ResetOnClose() {
  if (peer_) peer_->ResetOnClose();
}

}  // namespace mooring::data
