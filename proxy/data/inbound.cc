#include "proxy/data/inbound.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "proxy/data/leg_failure.h"
#include "proxy/data/worker.h"
#include "tls/session.h"

namespace mooring::data {
namespace {
// What a refused caller may take to read its alert and leave.
constexpr net::milliseconds kRefusalTime{1'000};
}  // namespace

Inbound::Inbound(Worker& worker, net::UniqueFd&& caller, const net::SocketAddress& peer)
    : Connection(worker.loop(), ListenerKind::kPublic),
      worker_(worker),
      peer_(peer),
      begun_with_(worker.snapshot()),
      deadline_(worker.loop(), [this] { OnDeadline(); }),
      caller_(worker.loop(), std::move(caller), this),
      since_(worker.loop().now()) {}

Inbound::~Inbound() = default;

void Inbound::Begin() {
  if (const auto objection = BeforeHandshake(begun_with_.get(), std::chrono::system_clock::now())) {
    RefuseAtOnce(*objection);
    return;
  }
  // A ticket is worth something to those who are let in. It is sealed at the end of the handshake, and decided by the snapshot of
  // that moment, which is Authorize's.
  caller_.StartTls(tls::Session::Accept(begun_with_->identity->server, [this] {
    return !Judge(begun_with_.get(), *worker_.snapshot()).OfCaller(*caller_.session(), Moment::kEntering);
  }));
  deadline_.Start(begun_with_->inbound->handshake_timeout);  // of the whole handshake, not of a byte
  caller_.WantRead(true);
}

void Inbound::OnReadable(net::Stream&) {
  switch (stage_) {
    case Stage::kHandshake:
      ContinueHandshake();
      return;
    case Stage::kRefusing:
      if (caller_.Discard()) Over(refusal_);
      return;
    case Stage::kDial:
    case Stage::kRelay:
    case Stage::kOver:
      return;
  }
}

void Inbound::ContinueHandshake() {
  since_ = worker_.loop().now();
  switch (caller_.Handshake(true)) {
    case tls::Progress::kWantInput:
      worker_.HandshakeHolds(this, caller_.handshake_bytes());
      return;
    case tls::Progress::kDone:
      worker_.Proven(this);
      caller_.CountKept(&worker_.buffers());
      deadline_.Stop();
      if (caller_.session()->resumed()) worker_.mutable_stats().inbound.resumed.Add();
      caller_.WantRead(false);  // nothing of the caller's is read before there is somebody to read it
      Authorize();
      return;
    case tls::Progress::kClosed:
    case tls::Progress::kFailed:
      OnHandshakeFailed();
      return;
  }
}

void Inbound::OnHandshakeFailed() {
  const CloseReason reason = ReasonOf(caller_, Reached::kCallersHandshake);
  if (reason == CloseReason::kProbe) {  // an agent's TCP check, a port scan: not worth a line
    worker_.log().Debug("data", "inbound probe", {{"peer", peer_.Text()}});
    Over(reason);
    return;
  }
  Refuse(reason, log::Level::kInfo, "inbound refused", DetailOf(caller_));
}

void Inbound::Authorize() {
  // The newest snapshot decides, whatever the handshake began under.
  const std::shared_ptr<const Snapshot> now = worker_.snapshot();
  std::string by;
  if (const auto objection = Judge(begun_with_.get(), *now).OfCaller(*caller_.session(), Moment::kEntering, &by)) {
    Refuse(objection->reason, objection->level, "inbound refused", objection->detail, objection->alert);
    return;
  }
  if (worker_.log().Enabled(log::Level::kDebug)) {
    const authz::ServiceId& source = caller_.session()->judgement().id;
    worker_.log().Debug("data", "inbound allowed", {{"source", source.Uri()}, {"by", by}, {"peer", peer_.Text()}});
  }
  begun_with_ = now;
  DialApp();
}

void Inbound::DialApp() {
  const InboundRules& rules = *begun_with_->inbound;
  stage_ = Stage::kDial;
  if (next_app_address_ >= rules.local_app.size()) {
    Refuse(CloseReason::kLocalConnectFailed, log::Level::kWarn, "local app not reached",
           rules.local_app_text + " cannot be resolved");
    return;
  }
  net::ConnectStart start = net::StartConnect(rules.local_app[next_app_address_++]);
  if (start.error == 0 && !start.in_progress) {
    OnDialed(std::move(start.fd), 0);
    return;
  }
  dialer_.emplace(worker_.loop(), std::move(start), rules.local_connect_timeout,
                  [this](net::UniqueFd fd, int error) { OnDialed(std::move(fd), error); });
}

void Inbound::OnDialed(net::UniqueFd fd, int error) {
  const InboundRules& rules = *begun_with_->inbound;
  if (error != 0) {
    if (next_app_address_ < rules.local_app.size()) {
      DialApp();
      return;
    }
    Refuse(net::IsShortage(error) ? CloseReason::kOutOfResources : CloseReason::kLocalConnectFailed,
           log::Level::kWarn, "local app not reached",
           rules.local_app_text + ": " + std::strerror(error));
    return;
  }
  stage_ = Stage::kRelay;
  since_ = worker_.loop().now();
  app_.emplace(worker_.loop(), std::move(fd), this);
  app_->CountKept(&worker_.buffers());
  relay_.emplace(worker_.loop(), *app_, caller_, rules.idle_timeout,
                 [this](CloseReason reason) { Over(reason); });
  relay_->Start();
}

void Inbound::OnSnapshot(Judge& judge, net::MonotonicTime changed) {
  if (stage_ != Stage::kDial && stage_ != Stage::kRelay) return;  // a handshake is judged at its end
  const LivePolicy& policy = worker_.snapshot()->live;
  if (stage_ == Stage::kRelay && !policy.cut_revoked) return;
  std::optional<Objection> objection = judge.OfCaller(*caller_.session(), grace_.moment());
  if (stage_ == Stage::kDial) {
    if (!objection) return;
    dialer_.reset();
    Refuse(objection->reason, objection->level, "inbound refused", objection->detail, objection->alert);
    return;
  }
  switch (grace_.Note(policy, std::move(objection), changed)) {
    case Grace::Then::kGoesOn: return deadline_.Stop();
    case Grace::Then::kWaits: return deadline_.Start(grace_.Left(worker_.loop().now()));
    case Grace::Then::kEnds: return CutLive(*grace_.objection());
  }
}

void Inbound::CutLive(const Objection& objection) {
  const std::string source = caller_.session()->judgement().id.Uri();
  worker_.StrangerLog(objection.reason, objection.level, "inbound cut", source,
                      {{"reason", CloseReasonName(objection.reason)},
                       {"source", source},
                       {"detail", objection.detail},
                       {"peer", peer_.Text()}});
  caller_.SendAlert(objection.alert);
  Cut(objection.reason);
}

void Inbound::RefuseAtOnce(const Objection& objection) {
  worker_.StrangerLog(objection.reason, objection.level, "inbound refused", peer_.Host(),
                      {{"reason", CloseReasonName(objection.reason)}, {"detail", objection.detail}, {"peer", peer_.Text()}});
  (void)caller_.Write(tls::AlertInClear(objection.alert));
  LetOut(objection.reason);
}

void Inbound::Refuse(CloseReason reason, log::Level level, log::Literal message,
                     const std::string& detail, tls::Alert alert) {
  const bool proven = caller_.session() != nullptr && caller_.session()->handshake_done();
  const std::string source = proven ? caller_.session()->judgement().id.Uri() : std::string();
  worker_.StrangerLog(
      reason, level, message, proven ? source : peer_.Host(),
      {{"reason", CloseReasonName(reason)},
       {"source", proven ? source : std::string("unproven")},
       {"detail", detail},
       {"peer", peer_.Text()}});
  // A fatal alert, not a close_notify: the caller must not take this for a clean end.
  if (proven) caller_.SendAlert(alert);
  LetOut(reason);
}

void Inbound::LetOut(CloseReason reason) {
  stage_ = Stage::kRefusing;
  refusal_ = reason;
  caller_.FinishRaw();
  caller_.BeginDiscard();
  if (caller_.Discard()) {
    Over(reason);
    return;
  }
  deadline_.Start(kRefusalTime);
}

void Inbound::OnDeadline() {
  switch (stage_) {
    case Stage::kHandshake:
      worker_.StrangerLog(CloseReason::kHandshakeTimeout, log::Level::kInfo, "inbound refused", peer_.Host(),
                          {{"reason", CloseReasonName(CloseReason::kHandshakeTimeout)},
                           {"peer", peer_.Text()}});
      Over(CloseReason::kHandshakeTimeout);
      return;
    case Stage::kRefusing:
      Over(refusal_);
      return;
    case Stage::kRelay:  // the grace of a revoked connection
      if (BeforeEvent() && grace_.objection()) CutLive(*grace_.objection());
      return;
    case Stage::kDial:
    case Stage::kOver:
      return;
  }
}

void Inbound::OnDrained(net::Stream&) {}

void Inbound::OnBroken(net::Stream&) {
  // The caller has reset while the app was being dialled, or while it was being refused.
  if (stage_ == Stage::kRefusing) {
    Over(refusal_);
  } else if (net::IsShortage(caller_.error())) {
    worker_.LogShortage("inbound ended", peer_.Text(), caller_.error());
    Cut(CloseReason::kOutOfResources);
  } else if (stage_ == Stage::kDial) {
    Over(ReasonOf(caller_, Reached::kLive));
  } else if (stage_ == Stage::kHandshake) {
    Over(ReasonOf(caller_, Reached::kCallersHandshake));
  }
}

void Inbound::Cut(CloseReason reason) noexcept {
  if (relay_) relay_->Cut(reason);
  if (stage_ == Stage::kOver) return;
  caller_.ResetOnClose();
  if (app_) app_->ResetOnClose();
  Over(reason);
}

void Inbound::OnEscaped() noexcept { Cut(worker_.OnConnectionEscaped("inbound ended")); }

void Inbound::OnSweep() {
  if (stage_ != Stage::kRelay) return;
  bytes_.Feed(worker_.mutable_stats().inbound, caller_.bytes_in(), caller_.bytes_out());
  if (TooOld(worker_.snapshot()->live, since_, worker_.loop().now())) {
    Cut(CloseReason::kMaxConnectionAge);
    return;
  }
  relay_->CheckPeers();
}

bool Inbound::IsAwaited() const { return stage_ == Stage::kDial || stage_ == Stage::kRelay; }

bool Inbound::EndIfQuiet(net::milliseconds quiet) {
  switch (stage_) {
    case Stage::kHandshake:
      if (worker_.loop().now() - since_ < quiet) return false;
      Over(CloseReason::kDrained);
      return true;
    case Stage::kDial:
      return false;
    case Stage::kRelay:
      if (!relay_->ended() && !relay_->BetweenExchanges(caller_, quiet)) return false;
      if (!relay_->ended()) relay_->End(CloseReason::kDrained);
      return true;
    case Stage::kRefusing:
    case Stage::kOver:
      return true;
  }
  return true;
}

void Inbound::Over(CloseReason reason) noexcept {
  if (stage_ == Stage::kOver) return;
  stage_ = Stage::kOver;
  deadline_.Stop();
  dialer_.reset();
  DirectionStats& stats = worker_.mutable_stats().inbound;
  bytes_.Feed(stats, caller_.bytes_in(), caller_.bytes_out());
  worker_.Retire(this, stats, reason);
}

}  // namespace mooring::data
