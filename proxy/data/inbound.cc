#include "proxy/data/inbound.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <new>
#include <utility>

#include "proxy/data/connection_view.h"
#include "proxy/data/leg_failure.h"
#include "proxy/data/proxy_header.h"
#include "tls/session.h"

namespace mooring::data {
namespace {
// What a refused caller may take to read its alert and leave.
constexpr net::milliseconds kRefusalTime{1'000};
}  // namespace

Inbound::Inbound(Host& host, net::UniqueFd&& caller, const net::SocketAddress& peer)
    : Connection(host.loop(), ListenerKind::kPublic),
      host_(host),
      begun_with_(host.snapshot()),
      deadline_(host.loop(), [this] { OnDeadline(); }),
      caller_(host.loop(), std::move(caller), this),
      heard_(host.loop().now()) {
  record_.peer = peer;
  record_.local = net::SocketAddress::LocalOf(caller_.fd());
}

Inbound::~Inbound() = default;

void Inbound::Begin() {
  if (const auto objection = BeforeHandshake(begun_with_.get(), std::chrono::system_clock::now())) {
    RefuseAtOnce(*objection);
    return;
  }
  // A ticket is worth something to those who are let in. It is sealed at the end of the handshake,
  // and decided by the snapshot of that moment, which is Authorize's.
  caller_.StartTls(tls::Session::Accept(begun_with_->identity->server, [this] {
    return !Judge(begun_with_.get(), *host_.snapshot())
                .OfCaller(*caller_.session(), Moment::kEntering);
  }));
  // of the whole handshake, not of a byte
  deadline_.Start(begun_with_->inbound->handshake_timeout);
  caller_.WantRead(true);
}

void Inbound::OnReadable(net::Stream&) {
  switch (stage_) {
    case Stage::kHandshake: ContinueHandshake(); return;
    case Stage::kRefusing:
      if (caller_.Discard()) Over(refusal_);
      return;
    case Stage::kDial:
    case Stage::kRelay:
    case Stage::kOver: return;
  }
}

void Inbound::ContinueHandshake() {
  heard_ = host_.loop().now();
  switch (caller_.Handshake(true)) {
    case tls::Progress::kWantInput: host_.HandshakeHolds(this, caller_.handshake_bytes()); return;
    case tls::Progress::kDone:
      host_.Proven(this);
      caller_.CountKept(&host_.buffers());
      deadline_.Stop();
      if (caller_.session()->resumed()) host_.counters(kind()).resumed.Add();
      NoteProven();
      // nothing of the caller's is read before there is somebody to read it
      caller_.WantRead(false);
      Authorize();
      return;
    case tls::Progress::kClosed:
    case tls::Progress::kFailed: OnHandshakeFailed(); return;
  }
}

void Inbound::NoteProven() {
  const authz::ServiceId& caller = caller_.session()->judgement().id;
  record_.tls = caller_.session()->facts();
  record_.identity = caller.Uri();
  record_.handshake_took = Since(record_.begun);
  host_.EnterFlow(&record_, caller.service, {});
  if (record_.flow) record_.flow->handshake.Add(*record_.handshake_took);
  host_.traffic().NoteHandshake(kind(), /*done=*/true, record_.tls);
}

void Inbound::OnHandshakeFailed() {
  const CloseReason reason = ReasonOf(caller_, Reached::kCallersHandshake);
  if (reason != CloseReason::kProbe) host_.traffic().NoteHandshake(kind(), /*done=*/false, {});
  if (reason == CloseReason::kProbe) {  // an agent's TCP check, a port scan: not worth a line
    host_.log().Debug("data", "inbound probe", {{"peer", record_.peer.Text()}});
    Over(reason);
    return;
  }
  Refuse(reason, log::Level::kInfo, "inbound refused",
         DetailOf(caller_, Reached::kCallersHandshake));
}

void Inbound::Authorize() {
  // The newest snapshot decides, whatever the handshake began under.
  const std::shared_ptr<const Snapshot> now = host_.snapshot();
  if (const auto objection =
          Judge(begun_with_.get(), *now)
              .OfCaller(*caller_.session(), Moment::kEntering, &record_.decided_by)) {
    if (objection->reason == CloseReason::kDenied) {
      record_.decided_by = objection->detail;
      if (record_.flow) record_.flow->denied.Add();
    }
    Refuse(objection->reason, objection->level, "inbound refused", objection->detail,
           objection->alert);
    return;
  }
  if (record_.flow) record_.flow->allowed.Add();
  if (const auto over = AtIdentity(now->inbound->caps, record_.identity, &places_)) {
    Refuse(CloseReason::kOverLimit, log::Level::kWarn, "inbound refused", over->Text());
    return;
  }
  if (host_.log().Enabled(log::Level::kDebug)) {
    host_.log().Debug(
        "data", "inbound allowed",
        {{"source", record_.identity}, {"by", record_.decided_by}, {"peer", record_.peer.Text()}});
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
  dial_began_ = host_.loop().now();
  record_.endpoint = rules.local_app[next_app_address_++];
  ++record_.attempts;
  net::ConnectStart start = net::StartConnect(*record_.endpoint);
  if (start.error == 0 && !start.in_progress) {
    OnDialed(std::move(start.fd), 0);
    return;
  }
  dialer_.emplace(host_.loop(), std::move(start), rules.local_connect_timeout,
                  [this](net::UniqueFd fd, int error) { OnDialed(std::move(fd), error); });
}

void Inbound::OnDialed(net::UniqueFd fd, int error) {
  const InboundRules& rules = *begun_with_->inbound;
  if (error != 0) {
    if (next_app_address_ < rules.local_app.size()) {
      DialApp();
      return;
    }
    Refuse(ReasonOfDial(error, Dialed::kLocalApp), log::Level::kWarn, "local app not reached",
           rules.local_app_text + ": " + std::strerror(error));
    return;
  }
  stage_ = Stage::kRelay;
  record_.connect_took = Since(dial_began_);
  host_.counters(kind()).reached.Add();
  if (record_.flow) record_.flow->connect.Add(*record_.connect_took);
  app_.emplace(host_.loop(), std::move(fd), this);
  app_->CountKept(&host_.buffers());
  if (rules.proxy_header) {
    // Before anything of the caller's: what it sends, a header or not, is payload. Should the app
    // have gone already, the relay meets that.
    const std::string header =
        ProxyHeader(record_.peer, record_.local, record_.identity, record_.tls.version);
    (void)app_->Write({reinterpret_cast<const std::uint8_t*>(header.data()), header.size()});
  }
  live_.emplace(host_, *this, record_, *app_, caller_, rules.idle_timeout, host_.loop().now());
  live_->Start();
}

void Inbound::OnSnapshot(Judge& judge, net::MonotonicTime changed) {
  // A handshake is judged at its end.
  if (stage_ == Stage::kDial) {
    const auto objection = judge.OfCaller(*caller_.session(), Moment::kLive);
    if (!objection) return;
    dialer_.reset();
    NoteObjection(*objection);
    Refuse(objection->reason, objection->level, "inbound refused", objection->detail,
           objection->alert);
  } else if (stage_ == Stage::kRelay) {
    live_->OnSnapshot([&](Moment moment) { return judge.OfCaller(*caller_.session(), moment); },
                      changed);
  }
}

void Inbound::OnObjection(const Objection& objection, Manner manner) {
  host_.StrangerLog(objection.reason, objection.level,
                    manner == Manner::kCut ? log::Literal("inbound cut")
                                           : log::Literal("inbound ended between exchanges"),
                    record_.identity,
                    {{"reason", CloseReasonName(objection.reason)},
                     {"source", record_.identity},
                     {"detail", objection.detail},
                     {"peer", record_.peer.Text()}});
  NoteObjection(objection);
  if (manner == Manner::kBetweenExchanges) {
    live_->End(objection.reason);
    return;
  }
  caller_.SendAlert(objection.alert);
  Cut(objection.reason);
}

void Inbound::NoteObjection(const Objection& objection) {
  const bool by_intention = objection.reason == CloseReason::kRevoked;
  (by_intention ? record_.decided_by : record_.detail) = objection.detail;
}

void Inbound::RefuseAtOnce(const Objection& objection) {
  host_.StrangerLog(objection.reason, objection.level, "inbound refused", record_.peer.Host(),
                    {{"reason", CloseReasonName(objection.reason)},
                     {"detail", objection.detail},
                     {"peer", record_.peer.Text()}});
  record_.detail = objection.detail;
  (void)caller_.Write(tls::AlertInClear(objection.alert));
  LetOut(objection.reason);
}

void Inbound::Refuse(CloseReason reason, log::Level level, log::Literal message,
                     const std::string& detail, tls::Alert alert) {
  const bool proven = caller_.session() != nullptr && caller_.session()->handshake_done();
  const std::string& source = record_.identity;
  host_.StrangerLog(reason, level, message, proven ? source : record_.peer.Host(),
                    {{"reason", CloseReasonName(reason)},
                     {"source", proven ? source : std::string("unproven")},
                     {"detail", detail},
                     {"peer", record_.peer.Text()}});
  // Of an intention the record has it already, as what has decided.
  if (detail != record_.decided_by) record_.detail = detail;
  // A fatal alert, not a close_notify: the caller must not take this for a clean end.
  if (proven) caller_.SendAlert(alert);
  LetOut(reason);
}

void Inbound::LetOut(CloseReason reason) {
  stage_ = Stage::kRefusing;
  refusal_ = reason;
  places_.service.Return();  // the app is done with it, if it ever saw it
  places_.identity.Return();
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
      host_.StrangerLog(CloseReason::kHandshakeTimeout, log::Level::kInfo, "inbound refused",
                        record_.peer.Host(),
                        {{"reason", CloseReasonName(CloseReason::kHandshakeTimeout)},
                         {"peer", record_.peer.Text()}});
      Over(CloseReason::kHandshakeTimeout);
      return;
    case Stage::kRefusing: Over(refusal_); return;
    case Stage::kDial:
    case Stage::kRelay:
    case Stage::kOver: return;
  }
}

void Inbound::OnDrained(net::Stream&) {}

void Inbound::OnBroken(net::Stream&) {
  // The caller has reset while the app was being dialled, or while it was being refused.
  if (stage_ == Stage::kRefusing) {
    Over(refusal_);
  } else if (net::IsShortage(caller_.error())) {
    host_.LogShortage("inbound ended", record_.peer.Text(), caller_.error());
    Cut(CloseReason::kOutOfResources);
  } else if (stage_ == Stage::kDial) {
    Over(ReasonOf(caller_, Reached::kLive));
  } else if (stage_ == Stage::kHandshake) {
    Over(ReasonOf(caller_, Reached::kCallersHandshake));
  }
}

void Inbound::Cut(CloseReason reason) noexcept {
  if (live_) live_->Cut(reason);
  if (stage_ == Stage::kOver) return;
  caller_.ResetOnClose();
  if (app_) app_->ResetOnClose();
  Over(reason);
}

void Inbound::OnEscaped() noexcept { Cut(host_.Escaped("inbound ended")); }

void Inbound::OnLiveOver(CloseReason reason) noexcept {
  if (reason == CloseReason::kPeerAlert) {
    try {
      record_.detail = DetailOf(caller_, Reached::kLive);
    } catch (const std::bad_alloc&) {  // the reason stays
    }
  }
  Over(reason);
}

void Inbound::OnSweep() {
  if (stage_ == Stage::kRelay) live_->Sweep();
}

void Inbound::ShowNow(ConnectionView* view) {
  if (const auto& now = host_.snapshot()) view->destination = now->service;
  if (!record_.identity.empty()) view->source = caller_.session()->judgement().id.service;
  switch (stage_) {
    case Stage::kHandshake:
      view->state = ConnectionState::kHandshake;
      view->last_active = heard_;
      return;
    case Stage::kDial: view->state = ConnectionState::kConnecting; return;
    case Stage::kRelay: live_->Show(view); return;
    case Stage::kRefusing: view->state = ConnectionState::kRefusing; return;
    case Stage::kOver: view->state = ConnectionState::kClosing; return;
  }
}

bool Inbound::IsAwaited() const { return stage_ == Stage::kDial || stage_ == Stage::kRelay; }

bool Inbound::EndIfQuiet(net::milliseconds quiet) {
  switch (stage_) {
    case Stage::kHandshake:
      if (host_.loop().now() - heard_ < quiet) return false;
      Over(CloseReason::kDrained);
      return true;
    case Stage::kDial: return false;
    case Stage::kRelay: return live_->EndIfQuiet(quiet);
    case Stage::kRefusing:
    case Stage::kOver: return true;
  }
  return true;
}

void Inbound::Over(CloseReason reason) noexcept {
  if (stage_ == Stage::kOver) return;
  stage_ = Stage::kOver;
  deadline_.Stop();
  dialer_.reset();
  record_.reason = reason;
  host_.EnterFlow(&record_, Traffic::kUnproven, {});
  host_.Retire(this);
}

}  // namespace mooring::data
