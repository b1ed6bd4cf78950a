#include "proxy/data/live.h"

#include <algorithm>
#include <chrono>

namespace mooring::data {
namespace {

using net::milliseconds;

constexpr milliseconds kSpread{1'000};  // over which those that are quiet end, as in a drain
constexpr milliseconds kLook{25};       // at one that has been silent and is between no exchanges

// SpreadOf is a moment of kSpread for each connection. IDs follow each other, and their multiples
// of the golden ratio lie evenly (Fibonacci hashing).
milliseconds SpreadOf(std::uint64_t id) {
  constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15U;
  const std::uint64_t part = id * kGolden >> 32U;  // of 2^32
  return milliseconds(part * static_cast<std::uint64_t>(kSpread.count()) >> 32U);
}

}  // namespace

Live::Live(Host& host, Owner& owner, Record& record, net::Stream& app, net::Stream& mesh,
           net::milliseconds idle_timeout, net::MonotonicTime since)
    : host_(host),
      owner_(owner),
      record_(record),
      client_(record.kind == ListenerKind::kPublic ? mesh : app),
      server_(record.kind == ListenerKind::kPublic ? app : mesh),
      since_(since),
      relay_(
          host.loop(), app, mesh, idle_timeout, [this](CloseReason reason) { OnOver(reason); },
          &client_, &exchanges_) {
  exchanges_.Count(record.flow, record.begun);
}

void Live::Judged(std::optional<Objection> objection, net::MonotonicTime changed) {
  const Grace::Then then = grace_.Note(host_.snapshot()->live, std::move(objection), changed);
  switch (then) {
    case Grace::Then::kGoesOn: grace_look_.reset(); return;
    case Grace::Then::kWaits:
    case Grace::Then::kQuiets: break;
    case Grace::Then::kEnds: owner_.OnObjection(*grace_.objection(), Manner::kCut); return;
  }
  const bool quiets = then == Grace::Then::kQuiets;
  const bool goes_on = grace_look_ && quiets == quiets_;  // as it was
  quiets_ = quiets;
  if (goes_on) return;
  grace_look_.emplace(host_.loop(), [this] { LookAtGrace(); });
  const milliseconds left = grace_.Left(host_.loop().now());
  grace_look_->Start(quiets_ ? std::min(left, SpreadOf(record_.id)) : left);
}

void Live::LookAtGrace() {
  if (!owner_.IsSettled() || !grace_.objection()) return;
  const milliseconds quiet = host_.snapshot()->live.quiet;
  const milliseconds left = grace_.Left(host_.loop().now());
  // One that is never silent for long may be between exchanges when its grace is over.
  const bool between = quiets_ && (quiet.count() > 0 || left.count() == 0) &&
                       relay_.BetweenExchanges(client_, left.count() > 0 ? quiet : left);
  if (between || left.count() == 0) {
    owner_.OnObjection(*grace_.objection(), between ? Manner::kBetweenExchanges : Manner::kCut);
    return;
  }
  milliseconds next = left;
  if (quiets_ && quiet.count() > 0) {
    const auto silent =
        std::chrono::ceil<milliseconds>(relay_.last_activity() + quiet - host_.loop().now());
    next = std::min(next, std::max(silent, kLook));
  }
  grace_look_->Start(next);
}

void Live::Feed() noexcept {
  Note();
  record_.Feed(host_.counters(record_.kind));
}

void Live::Sweep() {
  Feed();
  host_.NoteLife(Report::What::kAlive, &record_);
  if (TooOld(host_.snapshot()->live, since_, host_.loop().now())) {
    Cut(CloseReason::kMaxConnectionAge);
    return;
  }
  relay_.CheckPeers();
}

bool Live::EndIfQuiet(net::milliseconds quiet, CloseReason reason) {
  if (relay_.ended()) return true;
  if (!relay_.BetweenExchanges(client_, quiet)) return false;
  relay_.End(reason);
  return true;
}

void Live::Show(ConnectionView* view) const {
  view->state = relay_.pumping() ? ConnectionState::kRelaying : ConnectionState::kClosing;
  view->bytes_in = client_.bytes_in();
  view->bytes_out = client_.bytes_out();
  view->last_active = relay_.last_activity();
}

void Live::Note() noexcept {
  record_.bytes_in = client_.bytes_in();
  record_.bytes_out = client_.bytes_out();
  record_.kept_in = server_.pending();
  record_.kept_out = client_.pending();
  record_.first_byte = relay_.first_byte();
}

void Live::OnOver(CloseReason reason) noexcept {
  if (grace_look_) grace_look_->Stop();
  Note();
  owner_.OnLiveOver(reason);
}

}  // namespace mooring::data
