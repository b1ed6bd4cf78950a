#include "proxy/sidecar/drain.h"

#include <algorithm>
#include <string>
#include <utility>

namespace mooring::sidecar {
namespace {

using data::ListenerKind;
using net::milliseconds;
using Kept = control::ListenerSet::Kept;

constexpr milliseconds kStep{25};
constexpr milliseconds kHurry{1'500};

}  // namespace

Drain::Drain(net::Loop& loop, log::Log& log, const std::vector<data::ServiceHost*>& hosts,
             control::ListenerSet& listeners, std::unique_ptr<control::Departure> departure,
             Limits limits, std::function<void()> on_over)
    : loop_(loop),
      log_(log),
      hosts_(hosts),
      listeners_(listeners),
      departure_(std::move(departure)),
      limits_(limits),
      on_over_(std::move(on_over)),
      began_at_(loop.now()),
      accept_until_(loop.now()),
      upstreams_stay_(limits.upstreams_stay),
      step_(loop, [this] { Step(); }),
      quiet_(loop, [this] { ClosePublic(); }),
      limit_(loop, [this] { OnLimit(); }),
      hurry_(loop, [this] { Over(); }) {}

void Drain::Begin() {
  log_.Info("sidecar", "draining",
            {{"connections", data::ActiveOf(hosts_)}, {"limit_ms", limits_.time.count()}});
  const auto only = upstreams_stay_ ? std::optional(ListenerKind::kPublic) : std::nullopt;
  Mark([quiet = limits_.quiet, only](data::ServiceHost& host, std::function<void()> done) {
    host.PostDrain(quiet, only, std::move(done));
  });
  limit_.Start(limits_.time);
  if (departure_) {
    departure_->Begin([this] {
      settled_ = true;
      // Callers need a moment to hear that we are gone.
      if (departure_->away()) accept_until_ = loop_.now() + limits_.delay;
    });
  } else {
    settled_ = true;
  }
  Step();
}

void Drain::Mark(const std::function<void(data::ServiceHost&, std::function<void()>)>& post) {
  for (data::ServiceHost* host : hosts_) {
    ++unmarked_;
    post(*host, [this, &loop = loop_] {
      loop.Post([this] {
        if (--unmarked_ == 0) Step();
      });
    });
  }
}

void Drain::Step() {
  const bool ended = unmarked_ == 0 && Awaited() == 0;
  switch (phase_) {
    case Phase::kFirstOnes:
      if (!ended || !settled_ || loop_.now() < accept_until_) break;
      phase_ = Phase::kLastMoments;
      quiet_.Start(limits_.time.count() == 0 ? milliseconds(0) : limits_.quiet);
      return;
    case Phase::kUpstreamClosing:
      if (!ended) break;
      Leave();
      return;
    case Phase::kLastMoments:
    case Phase::kPublicClosing:
    case Phase::kUnseen:
    case Phase::kLeaving:
    case Phase::kOver: return;
  }
  step_.Start(kStep);
}

void Drain::ClosePublic() {
  phase_ = Phase::kPublicClosing;
  // Where another instance takes over, whoever still comes is to go there, not to wait for us.
  const bool away = departure_ && departure_->away();
  const bool seen_open = listeners_.InUnit(ListenerKind::kPublic);
  listeners_.CloseKind(ListenerKind::kPublic, away ? Kept::kGo : Kept::kStay, [this, seen_open] {
    if (phase_ != Phase::kPublicClosing) return;
    phase_ = Phase::kUnseen;
    AwaitRest(ListenerKind::kPublic);
    if (departure_ && !seen_open) {
      departure_->AwaitUnseen([this] { CloseUpstreams(); });
    } else {
      CloseUpstreams();
    }
  });
}

void Drain::LetUpstreamsGo() {
  if (std::exchange(upstreams_stay_, false) && unseen_) CloseUpstreams();
}

void Drain::CloseUpstreams() {
  if (phase_ != Phase::kUnseen) return;
  unseen_ = true;
  if (upstreams_stay_) return;
  if (limits_.upstreams_stay) {  // their time begins only now
    limit_passed_ = false;
    limit_.Start(limits_.time);
  }
  listeners_.CloseKind(ListenerKind::kUpstream, Kept::kStay, [this] {
    if (phase_ != Phase::kUnseen) return;
    phase_ = Phase::kUpstreamClosing;
    log_.Info("sidecar", "listeners closed", {{"connections", data::ActiveOf(hosts_)}});
    AwaitRest(ListenerKind::kUpstream);
    Step();
  });
}

void Drain::AwaitRest(ListenerKind kind) {
  Mark([kind](data::ServiceHost& host, std::function<void()> done) {
    host.PostAwaitAll(kind, std::move(done));
  });
  // Behind the limit there is just the time to see what is idle.
  if (limit_passed_) limit_.Start(limits_.time.count() == 0 ? milliseconds(0) : limits_.quiet);
}

void Drain::OnLimit() {
  limit_passed_ = true;
  if (Awaited() > 0) {
    log_.Warn("sidecar", "drain time is over; cutting what is left", {{"connections", Awaited()}});
  }
  for (data::ServiceHost* host : hosts_) host->PostCutAwaited();
}

void Drain::Leave() {
  phase_ = Phase::kLeaving;
  limit_.Stop();
  if (departure_) {
    departure_->Finish([this] { Over(); });
  } else {
    Over();
  }
}

void Drain::Hurry() {
  if (phase_ == Phase::kOver) return;
  hurry_.Start(kHurry);
  for (data::ServiceHost* host : hosts_) host->PostCutAll();
  for (const ListenerKind kind : {ListenerKind::kPublic, ListenerKind::kUpstream})
    listeners_.CloseKind(kind, Kept::kStay, [] {});
  if (phase_ != Phase::kLeaving) Leave();
}

void Drain::Over() {
  if (std::exchange(phase_, Phase::kOver) != Phase::kOver) on_over_();
}

std::int64_t Drain::Awaited() const {
  std::int64_t awaited = 0;
  for (const data::ServiceHost* host : hosts_) awaited += host->awaited();
  return awaited;
}

}  // namespace mooring::sidecar
