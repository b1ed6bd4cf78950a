#include "proxy/data/outbound.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "proxy/data/attempt_failure.h"
#include "proxy/data/connection_view.h"
#include "proxy/data/leg_failure.h"

namespace mooring::data {

Outbound::Outbound(Host& host, std::string upstream, net::UniqueFd&& app,
                   const net::SocketAddress& peer)
    : Connection(host.loop(), ListenerKind::kUpstream),
      host_(host),
      upstream_(std::move(upstream)),
      silence_(host.loop(), [this] { Over(CloseReason::kIdleTimeout); }),
      app_(host.loop(), std::move(app), this) {
  record_.peer = peer;
  record_.local = net::SocketAddress::LocalOf(app_.fd());
}

Outbound::~Outbound() = default;

void Outbound::Begin() {
  app_.CountKept(&host_.buffers());
  app_.WantRead(false);  // but a reset is noticed, and ends the search
  search_ = std::make_unique<Search>(host_, *this, upstream_);
  search_->Begin();
}

void Outbound::OnSnapshot(Judge& judge, net::MonotonicTime changed) {
  switch (stage_) {
    case Stage::kSearching:
      if (search_) search_->OnSnapshot();
      return;
    case Stage::kProven:
      if (search_->Left().count() <= 0) {
        // no time is left for another instance: from here on it is a live connection
        StartRelay(std::nullopt);
        break;
      }
      if (const auto objection = judge.OfInstance(*peer_->session(), Moment::kLive)) {
        peer_->SendAlert(objection->alert);
        TryAnother(objection->reason, objection->detail);
      } else if (const std::string* why = WhyDeparted()) {
        TryAnother(CloseReason::kDeparted, *why);
      }
      return;
    case Stage::kRelay: break;
    case Stage::kOver: return;
  }
  if (stage_ != Stage::kRelay) return;  // it has ended at once
  live_->OnSnapshot([&](Moment moment) { return judge.OfInstance(*peer_->session(), moment); },
                    changed);
  if (stage_ == Stage::kRelay) FollowDeparture(changed);
}

const std::string* Outbound::WhyDeparted() const {
  const auto upstream = host_.UpstreamOf(upstream_);
  if (!upstream || !upstream->rules()->departed) return nullptr;
  return upstream->rules()->departed->Of(record_.instance.get());
}

void Outbound::FollowDeparture(net::MonotonicTime changed) {
  const std::string* why = WhyDeparted();
  if (why == nullptr || farewell_) {
    if (why == nullptr) farewell_.reset();
    return;
  }
  record_.detail = *why;
  const net::milliseconds grace = host_.UpstreamOf(upstream_)->rules()->departure_grace;
  farewell_.emplace(host_.loop(), *live_, host_.snapshot()->live.quiet, changed + grace);
  farewell_->Look();
}

void Outbound::OnObjection(const Objection& objection, Manner manner) {
  host_.StrangerLog(objection.reason, objection.level,
                    manner == Manner::kCut ? log::Literal("outbound cut")
                                           : log::Literal("outbound ended between exchanges"),
                    upstream_,
                    {{"upstream", upstream_},
                     {"reason", CloseReasonName(objection.reason)},
                     {"detail", objection.detail}});
  record_.detail = objection.detail;
  if (manner == Manner::kBetweenExchanges) {
    live_->End(objection.reason);
    return;
  }
  peer_->SendAlert(objection.alert);
  Cut(objection.reason);
}

void Outbound::OnFound(std::unique_ptr<net::Stream> proven) {
  stage_ = Stage::kProven;
  places_.pending.Return();
  proven_at_ = host_.loop().now();
  peer_ = std::move(proven);
  search_->Describe(&record_);
  if (const std::string* why = WhyDeparted()) {  // while it was dialled
    TryAnother(CloseReason::kDeparted, *why);
    return;
  }
  record_.tls = peer_->session()->facts();
  const authz::ServiceId& instance = peer_->session()->judgement().id;
  record_.identity = instance.Uri();
  host_.EnterFlow(&record_, instance.service, instance.datacenter);
  host_.counters(kind()).reached.Add();
  if (record_.flow) {
    record_.flow->connect.Add(record_.connect_took.value_or(microseconds(0)));
    record_.flow->handshake.Add(record_.handshake_took.value_or(microseconds(0)));
  }
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
  if (search_) search_->Describe(&record_);
  host_.EnterFlowOf(&record_, upstream_);
  // One whose last instance refused us before a byte has been tried and not been reached, too.
  if (record_.attempts > 0 && record_.flow) record_.flow->unreached.Add();
  Over(reason);
}

void Outbound::OnReadable(net::Stream& stream) {
  if (stage_ != Stage::kProven) return;
  if (&stream != &app_) {
    OnFirstAnswer();
    return;
  }
  StartRelay(std::nullopt);
  if (stage_ == Stage::kRelay) live_->relay().OnReadable(app_);
}

void Outbound::OnFirstAnswer() {
  const net::Stream::ReadResult result =
      peer_->Read(peer_->MayKeep() ? net::kReadBurst : net::kRecord);
  switch (result.status) {
    case net::Stream::ReadStatus::kAgain: app_.WantRead(true); return;
    case net::Stream::ReadStatus::kFailed:
      // Refused after all, and no byte of the app's has gone: another instance may do.
      TryAnother(ReasonOf(*peer_, Reached::kProven), DetailOf(*peer_, Reached::kProven));
      return;
    case net::Stream::ReadStatus::kData:
    case net::Stream::ReadStatus::kEnd:
    case net::Stream::ReadStatus::kTruncated: break;
  }
  if (result.status != net::Stream::ReadStatus::kData && IsEarly()) {
    const AttemptFailure failure = ClosedEarly();
    TryAnother(failure.reason, failure.detail);
  } else {
    StartRelay(result);
  }
}

bool Outbound::IsEarly() const {
  return host_.loop().now() - proven_at_ < search_->rules().early_close;
}

void Outbound::TryAnother(CloseReason reason, const std::string& detail) {
  stage_ = Stage::kSearching;
  // It was let in already, and its search goes on.
  if (const auto& caps = search_->rules().caps)
    places_.pending = Place::EvenIfFull({caps, &caps->pending});
  silence_.Stop();
  app_.WantRead(false);
  peer_.reset();
  record_.tls = {};
  record_.identity.clear();
  record_.detail.clear();
  search_->GoOn(reason, detail);
}

void Outbound::StartRelay(std::optional<net::Stream::ReadResult> first) {
  stage_ = Stage::kRelay;
  silence_.Stop();
  const net::milliseconds idle_timeout = search_->rules().idle_timeout;
  if (const auto limit = search_->rules().early_close; limit.count() > 0) {
    const auto passed =
        std::chrono::duration_cast<net::milliseconds>(host_.loop().now() - proven_at_);
    early_.emplace(host_.loop(), [this] { ReportFound(); });
    early_->Start(std::max(limit - passed, net::milliseconds(0)));
  }
  found_.emplace(search_->Conclude());
  search_.reset();
  live_.emplace(host_, *this, record_, app_, *peer_, idle_timeout, proven_at_);
  live_->Start(first);
}

void Outbound::ReportFound() noexcept {
  if (!early_) return;
  early_.reset();
  if (ReasonOf(*peer_, Reached::kProven) == CloseReason::kDenied) return;
  if (peer_->bytes_in() > 0 || live_->relay().first_end() != peer_.get()) {
    found_->upstream->Report(found_->lease, LoadBalancer::Outcome::kProven, found_->began,
                             found_->proven_at);
    return;
  }
  try {
    ReportFailure(host_, upstream_, *found_->upstream, found_->lease, found_->began, ClosedEarly());
  } catch (...) {  // no memory for a line
  }
}

void Outbound::OnDrained(net::Stream&) {}

void Outbound::OnBroken(net::Stream& stream) {
  if (&stream == &app_ && net::IsShortage(app_.error())) {
    host_.LogShortage("outbound ended", upstream_, app_.error());
    Cut(CloseReason::kOutOfResources);
  } else if (&stream == &app_) {
    Over(ReasonOf(app_, Reached::kLive));  // the app has given up; nobody is owed an answer
  } else if (stage_ == Stage::kProven) {
    TryAnother(ReasonOf(*peer_, Reached::kProven), DetailOf(*peer_, Reached::kProven));
  }
}

void Outbound::OnLiveOver(CloseReason reason) noexcept {
  if (farewell_) farewell_->Stop();
  if (farewell_ && reason != CloseReason::kDeparted) record_.detail.clear();
  ReportFound();
  if (reason == CloseReason::kPeerAlert) SayAlert();
  Over(reason);
}

// SayAlert: the app sees a reset, and no other line says why.
void Outbound::SayAlert() noexcept {
  try {
    const std::string endpoint = record_.endpoint ? record_.endpoint->Text() : std::string();
    record_.detail = DetailOf(*peer_, Reached::kLive);
    host_.StrangerLog(CloseReason::kPeerAlert, log::Level::kWarn, "outbound ended", endpoint,
                      {{"upstream", upstream_},
                       {"endpoint", endpoint},
                       {"reason", CloseReasonName(CloseReason::kPeerAlert)},
                       {"detail", record_.detail}});
  } catch (...) {  // no memory for a line; the count of the reason says it
  }
}

void Outbound::Cut(CloseReason reason) noexcept {
  if (live_) live_->Cut(reason);
  if (stage_ == Stage::kOver) return;
  app_.ResetOnClose();
  if (search_) search_->ResetOnClose();
  if (peer_) peer_->ResetOnClose();
  Over(reason);
}

void Outbound::OnEscaped() noexcept { Cut(host_.Escaped("outbound ended")); }

void Outbound::OnSweep() {
  if (stage_ == Stage::kRelay) {
    live_->Sweep();
  } else if (stage_ == Stage::kProven &&
             TooOld(host_.snapshot()->live, proven_at_, host_.loop().now())) {
    Cut(CloseReason::kMaxConnectionAge);
  }
}

void Outbound::ShowNow(ConnectionView* view) {
  if (const auto& now = host_.snapshot()) view->source = now->service;
  if (peer_ && !record_.identity.empty()) {
    view->destination = peer_->session()->judgement().id.service;
  } else {
    const auto upstream = host_.UpstreamOf(upstream_);
    view->destination = upstream ? upstream->rules()->name : upstream_;
  }
  switch (stage_) {
    case Stage::kSearching: {
      view->state = ConnectionState::kSearching;
      if (!search_) return;
      Record tried;
      search_->Describe(&tried);
      view->attempts = tried.attempts;
      view->endpoint = tried.endpoint;
      view->instance = tried.instance;
      return;
    }
    case Stage::kProven:
      view->state = ConnectionState::kRelaying;
      view->last_active = proven_at_;
      return;
    case Stage::kRelay: live_->Show(view); return;
    case Stage::kOver: view->state = ConnectionState::kClosing; return;
  }
}

bool Outbound::EndIfQuiet(net::milliseconds quiet) {
  switch (stage_) {
    case Stage::kSearching:  // the app may have spoken: its search ends by itself
      return false;
    case Stage::kProven:
      if (host_.loop().now() - proven_at_ < quiet || net::Unread(app_.fd()) > 0 ||
          net::Unread(peer_->fd()) > 0)
        return false;
      StartRelay(std::nullopt);
      if (stage_ == Stage::kRelay && !live_->relay().ended())
        live_->relay().End(CloseReason::kDrained);
      return true;
    case Stage::kRelay: return live_->EndIfQuiet(quiet);
    case Stage::kOver: return true;
  }
  return true;
}

void Outbound::Over(CloseReason reason) noexcept {
  if (stage_ == Stage::kOver) return;
  stage_ = Stage::kOver;
  silence_.Stop();
  if (search_) {
    search_->Describe(&record_);
    record_.detail = search_->TakeFailure();
  }
  search_.reset();
  found_.reset();
  record_.reason = reason;
  host_.EnterFlowOf(&record_, upstream_);
  host_.Retire(this);
}

}  // namespace mooring::data
