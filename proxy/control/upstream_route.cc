#include "proxy/control/upstream_route.h"

#include <algorithm>
#include <utility>

#include "authz/text.h"
#include "proxy/control/chain_reading.h"

namespace mooring::control {
namespace {

using net::milliseconds;

// Of the agent's cache, which a blocking query of its own keeps fresh: this costs no server
// anything, and no connection.
constexpr milliseconds kPoll{3'000};

Watch::Options ChainOptions(const config::UpstreamSettings& upstream, bool stale) {
  Watch::Options options;
  options.name = "chain:" + upstream.Name();
  options.path = "/v1/discovery-chain/" + authz::PercentEncoded(upstream.name);
  if (stale) options.query = "stale";
  options.poll_interval = kPoll;
  // Half a log has none of the redirects that stand late in it.
  options.rewinds = Watch::Options::Rewinds::kWaitAfterFailure;
  options.needs = "service:read on \"" + upstream.name + "\"";
  // An agent of before 1.8, or a front that does not let it through, knows no chains.
  options.is_absent = [](const http::Response& response) { return response.status == 404; };
  return options;
}

// WhyNobody is the agent's refusal of a chain that is not known, or what is wrong with it; empty
// while its answer is awaited.
std::string WhyNobody(const Watch& chain) {
  const Watch::State& state = chain.state();
  if (!state.refusal.empty()) return state.refusal;
  return MakesNoSense(state.last_error) ? state.last_error : std::string();
}

}  // namespace

UpstreamRoute::UpstreamRoute(net::Loop& loop, log::Log& log, Agent* agent,
                             config::UpstreamSettings upstream, milliseconds connect_timeout,
                             milliseconds idle_timeout,
                             std::shared_ptr<data::UpstreamMemory> memory, OnChange on_change)
    : loop_(loop),
      log_(log),
      agent_(agent),
      settings_(std::move(upstream)),
      connect_timeout_(connect_timeout),
      idle_timeout_(idle_timeout),
      memory_(std::move(memory)),
      on_change_(std::move(on_change)),
      back_(loop, [this] { Choose(); }) {
  if (settings_.type == authz::UpstreamType::kService && settings_.endpoints.empty() &&
      settings_.datacenter.empty() && agent != nullptr) {
    Watch::Options options = ChainOptions(settings_, agent->stale());
    // Most chains say nothing: those are polled, however many connections there are.
    options.spare = [this] { return chain_ && LeadsElsewhere(); };
    chain_watch_.emplace(loop, log, *agent, std::move(options),
                         [this](const http::Response& response) { return TakeChain(response); });
    chain_watch_->OnError([this](const Error& error) { OnChainError(error); });
  }
  targets_.push_back(Make(Itself(settings_), memory_));
  rules_ = source().Rules();
}

UpstreamRoute::Target UpstreamRoute::Make(UpstreamSource::Target target,
                                          std::shared_ptr<data::UpstreamMemory> memory) {
  const auto choose = [this] {
    if (!targets_.empty()) Choose();
  };
  Target made;
  made.source =
      std::make_unique<UpstreamSource>(loop_, log_, agent_, settings_, std::move(target),
                                       ConnectTimeout(), idle_timeout_, std::move(memory), choose);
  // One that cannot be told of is passed over.
  made.source->OnError(choose);
  if (own_) made.source->SetOwnIdentity(trust_domain_, *own_);
  if (place_) made.source->SetPlace(*place_);
  return made;
}

void UpstreamRoute::Start() {
  if (chain_watch_) {
    chain_watch_->Start();
  } else {
    Follow(0);
  }
}

void UpstreamRoute::Follow(std::size_t index) {
  if (index >= targets_.size() || std::exchange(targets_[index].followed, true)) return;
  targets_[index].source->Start();
}

bool UpstreamRoute::Use(const config::UpstreamSettings& next, milliseconds connect_timeout,
                        milliseconds idle_timeout) {
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    const milliseconds connect = chain_connect_timeout_.value_or(connect_timeout);
    if (!targets_[i].source->Use(next, connect, idle_timeout)) return false;
  }
  settings_ = next;
  connect_timeout_ = connect_timeout;
  idle_timeout_ = idle_timeout;
  Choose();
  return true;
}

void UpstreamRoute::SetOwnIdentity(const std::string& trust_domain, const authz::ServiceId& own) {
  const bool moved = !own_ || own_->ns != own.ns || own_->partition != own.partition;
  own_ = own;
  trust_domain_ = trust_domain;
  if (moved && chain_) FollowChain(*chain_);
  for (const Target& target : targets_) target.source->SetOwnIdentity(trust_domain, own);
}

void UpstreamRoute::SetPlace(const Place& place) {
  place_ = place;
  for (const Target& target : targets_) target.source->SetPlace(place);
}

void UpstreamRoute::CheckAge() {
  for (const Target& target : targets_) {
    if (target.followed) target.source->CheckAge();
  }
}

milliseconds UpstreamRoute::ConnectTimeout() const {
  return chain_connect_timeout_.value_or(connect_timeout_);
}

Status UpstreamRoute::TakeChain(const http::Response& response) {
  if (response.body.empty()) {  // there is none
    beyond_.clear();
    nowhere_ = false;
    chain_connect_timeout_.reset();
    Go({Itself(settings_)});
    chain_.reset();
    return Ok();
  }
  auto chain = authz::ParseChain(response.body);
  if (!chain) return chain.error();
  if (chain_ && *chain_ == *chain) return Ok();
  // Known from here on, and not before: what was cut short is taken up by the next answer.
  FollowChain(*chain);
  chain_ = *std::move(chain);
  return Ok();
}

void UpstreamRoute::FollowChain(const authz::Chain& chain) {
  ChainReading reading = ReadChain(chain, settings_, own_ ? &*own_ : nullptr);
  beyond_.clear();
  for (const std::string& what : reading.beyond) {
    beyond_ += (beyond_.empty() ? "its discovery chain: " : "; ") + what;
    if (said_.insert(what).second)
      log_.Warn("control", "part of a discovery chain is not followed",
                {{"upstream", settings_.name}, {"what", what}});
  }
  nowhere_ = reading.targets.empty();
  chain_connect_timeout_ = reading.connect_timeout;
  Go(std::move(reading.targets));
}

void UpstreamRoute::OnChainError(const Error&) {
  if (chain_ || targets_.front().followed) return;
  // Until there is another word nobody is called: there may be a redirect.
  if (!WhyNobody(*chain_watch_).empty()) on_change_();
}

void UpstreamRoute::Go(std::vector<UpstreamSource::Target> wanted) {
  // Who stays keeps what it knows. One that leads nowhere has nobody, whatever was known of it.
  const auto find = [this](const UpstreamSource::Target& target) {
    return std::find_if(targets_.begin(), targets_.end(), [&](const Target& one) {
      return !nowhere_ && one.source && one.source->target() == target;
    });
  };
  if (nowhere_) wanted.push_back(Itself(settings_));
  const bool taken = std::any_of(wanted.begin(), wanted.end(), [&](const auto& target) {
    const auto same = find(target);
    return same != targets_.end() && same->source->memory() == memory_;
  });
  // Those that are new are made first: should there be no memory for one, all stay as they were.
  std::vector<Target> next(wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (find(wanted[i]) == targets_.end())
      next[i] = Make(wanted[i], i == 0 && !taken ? memory_ : memory_->OfAnother());
  }
  const UpstreamSource* const was = &source();
  active_ = 0;
  for (std::size_t i = 0; i < next.size(); ++i) {
    if (!next[i].source) next[i] = std::move(*find(wanted[i]));
    if (next[i].source.get() == was && next[i].followed) active_ = i;
  }
  targets_.swap(next);
  told_ = active_;
  back_to_.reset();
  if (!nowhere_) {
    Follow(0);
    Follow(1);
  }
  for (const Target& target : targets_)
    target.source->Use(settings_, ConnectTimeout(), idle_timeout_);
  Choose();
}

std::size_t UpstreamRoute::Best() {
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    Follow(i);
    if (Serves(i)) return i;
    const UpstreamSource& source = *targets_[i].source;
    if (!source.Rules()->known && !source.Fails()) return Serves(active_) ? active_ : i;
  }
  return 0;
}

bool UpstreamRoute::Holds(std::size_t best) {
  if (best >= active_ || !Serves(active_) || !Serves(best)) return false;
  if (back_to_ != best) {
    back_to_ = best;
    back_since_ = loop_.now();
  }
  const net::MonotonicTime due = back_since_ + settings_.failback_delay.value_or(milliseconds(0));
  if (loop_.now() >= due) return false;
  back_.Start(std::chrono::ceil<milliseconds>(due - loop_.now()));
  return true;
}

void UpstreamRoute::Choose() {
  if (targets_.front().followed) {
    const std::size_t best = Best();
    if (Holds(best)) return Publish();
    back_.Stop();
    back_to_.reset();
    active_ = best;
    SayWhereTo();
  }
  Publish();
}

// One that nothing is known of yet is waited for, which is no failover.
void UpstreamRoute::SayWhereTo() {
  if (active_ == told_ || (active_ > told_ && !Serves(active_))) return;
  const std::size_t before = std::exchange(told_, active_);
  if (active_ > before) {
    log_.Warn("control", "an upstream fails over",
              {{"upstream", settings_.name}, {"to", NameOf(active_)}, {"reason", FailedOver()}});
  } else {
    log_.Info("control", "an upstream is back at a target that goes before",
              {{"upstream", settings_.name}, {"to", NameOf(active_)}, {"from", NameOf(before)}});
  }
}

void UpstreamRoute::Publish() {
  const std::shared_ptr<const data::UpstreamRules> active = source().Rules();
  std::vector<std::shared_ptr<const void>> parts{active};
  data::Departed departed;
  for (const Target& target : targets_) {
    const auto& gone = target.source->Rules()->departed;
    if (!gone || target.source.get() == &source()) continue;
    departed.why.insert(gone->why.begin(), gone->why.end());
    parts.push_back(gone);
  }
  if (parts == parts_ && nowhere_ == parts_nowhere_) return;
  auto rules = std::make_shared<data::UpstreamRules>(*active);
  if (parts.size() > 1) {
    // Sessions to a target that connections do not go to any more follow its instances on. Who has
    // left that one may be in this one.
    for (const data::Endpoint& endpoint : active->endpoints) {
      if (endpoint.instance) departed.why.erase({endpoint.instance->node, endpoint.instance->id});
    }
    if (active->departed)
      departed.why.insert(active->departed->why.begin(), active->departed->why.end());
    rules->departed = std::make_shared<const data::Departed>(std::move(departed));
  }
  rules->known = rules->known || nowhere_;
  // known from here on: what was cut short above is made again
  parts_ = std::move(parts);
  parts_nowhere_ = nowhere_;
  rules_ = std::move(rules);
  on_change_();
}

std::string UpstreamRoute::NameOf(std::size_t index) const {
  const UpstreamSource::Target& target = targets_[index].source->target();
  return target.id.empty() ? target.service : target.id;
}

std::string UpstreamRoute::FailedOver() const {
  if (active_ == 0) return {};
  const UpstreamSource& first = *targets_.front().source;
  if (Serves(0)) return NameOf(0) + " is not long enough back";
  if (first.Rules()->known) return NameOf(0) + " has no healthy instance";
  return NameOf(0) + ": " + (first.watch() != nullptr ? first.watch()->state().last_error : "");
}

bool UpstreamRoute::LeadsElsewhere() const {
  return nowhere_ || !beyond_.empty() || targets_.size() > 1 ||
         source().target() != Itself(settings_);
}

bool UpstreamRoute::Notable() const {
  return !Decided() || LeadsElsewhere() ||
         (chain_watch_ && chain_watch_->state().phase == Watch::State::Phase::kRetrying);
}

std::vector<const Watch*> UpstreamRoute::Watches() const {
  std::vector<const Watch*> watches;
  if (chain_watch_ && Notable()) watches.push_back(&*chain_watch_);
  for (const Target& target : targets_) {
    if (!target.followed) continue;
    for (const Watch* watch : target.source->Watches()) watches.push_back(watch);
  }
  return watches;
}

bool UpstreamRoute::Answered() const {
  if (Decided()) return nowhere_ || source().Answered();
  return !WhyNobody(*chain_watch_).empty();
}

std::string UpstreamRoute::Complaint() const {
  if (chain_watch_ && !chain_watch_->state().refusal.empty())
    return chain_watch_->Refusal() +
           (Decided() ? "; what it said before holds" : "; until then nobody is called");
  if (!Decided()) return WhyNobody(*chain_watch_);
  if (std::string own = source().Complaint(); !own.empty() && !nowhere_) return own;
  if (active_ > 0) return "connections go to " + NameOf(active_) + ": " + FailedOver();
  if (std::string refused = Refused(); !refused.empty()) return refused;
  return beyond_;
}

std::string UpstreamRoute::Refused() const {
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    if (i == active_ || !targets_[i].followed) continue;
    for (const Watch* watch : targets_[i].source->Watches()) {
      if (!watch->state().refusal.empty()) return watch->Refusal();
    }
  }
  return {};
}

std::vector<UpstreamRoute::TargetView> UpstreamRoute::Targets() const {
  std::vector<TargetView> views;
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    const Target& target = targets_[i];
    views.push_back({NameOf(i), i == active_ && Decided() && !nowhere_, target.followed,
                     target.source->Rules()->endpoints.size()});
  }
  return views;
}

}  // namespace mooring::control
