#include "proxy/control/upstream_route.h"

#include <algorithm>
#include <utility>

#include "authz/text.h"
#include "proxy/config/checks.h"
#include "proxy/config/duration.h"

namespace mooring::control {
namespace {

using net::milliseconds;

// Of the agent's cache, which a blocking query of its own keeps fresh: this costs no server
// anything, and no connection.
constexpr milliseconds kPoll{3'000};
// With many upstreams twenty are asked in a second: chains change by an operator's hand alone.
constexpr milliseconds kPollOfEach{50};
constexpr char kDefault[] = "default";

Watch::Options ChainOptions(const config::UpstreamSettings& upstream) {
  Watch::Options options;
  options.name = "chain:" + upstream.Name();
  options.path = "/v1/discovery-chain/" + authz::PercentEncoded(upstream.name);
  options.query = "cached";
  options.blocking = Watch::Blocking::kNone;
  options.poll_interval = kPoll;
  options.needs = "service:read on \"" + upstream.name + "\"";
  // An agent of before 1.8, or a front that does not let it through, knows no chains.
  options.is_absent = [](const http::Response& response) { return response.status == 404; };
  return options;
}

bool IsDefault(const std::string& name, const std::string& own) {
  return name.empty() || name == (own.empty() ? kDefault : own);
}

// Broken: the agent has compiled it, and it does not make sense. What it says for want of a server
// is an outage.
bool Broken(const std::string& error) {
  for (const char* outage : {"No cluster leader", "No known Consul servers", "rpc error",
                             "No path to datacenter", "Raft leader not found"}) {
    if (error.find(outage) != std::string::npos) return false;
  }
  return error.find("the agent answered 500") != std::string::npos;
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
    chain_watch_.emplace(loop, log, *agent, ChainOptions(settings_),
                         [this](const http::Response& response) { return TakeChain(response); });
    chain_watch_->OnError([this](const Error& error) { OnChainError(error); });
  }
  targets_.push_back(Make(Itself(), memory_));
  rules_ = source().Rules();
}

UpstreamSource::Target UpstreamRoute::Itself() const {
  UpstreamSource::Target itself{.service = settings_.name, .datacenter = settings_.datacenter};
  if (!settings_.datacenter.empty() && settings_.type == authz::UpstreamType::kService)
    itself.gateway = settings_.mesh_gateway.value_or(config::MeshGateway::kNone);
  return itself;
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
  const auto upstreams = static_cast<int>(agent_->link().connections().turns().players());
  chain_watch_->SetPollInterval(std::max(kPoll, kPollOfEach * upstreams));
  if (response.body.empty()) {  // there is none
    beyond_.clear();
    nowhere_ = false;
    Go({Itself()}, {});
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
  beyond_.clear();
  std::vector<UpstreamSource::Target> wanted;
  if (!chain.beyond.empty()) {
    SayOnce(chain.beyond + ", which is not seen here: connections go to its own instances");
    wanted.push_back(Itself());
  }
  for (const authz::ChainTarget& target : chain.targets) {
    if (!CanDial(target)) continue;
    UpstreamSource::Target one;
    one.service = target.service;
    if (target.datacenter != chain.datacenter) one.datacenter = target.datacenter;
    one.gateway = GatewayTo(one.datacenter, target.mesh_gateway_mode);
    one.filter = target.filter;
    one.only_passing = target.only_passing;
    if (!target.subset.empty()) one.server_name = target.sni;
    if (one != Itself()) one.id = target.id;
    // One that is named twice stands in for nothing the second time.
    if (std::find(wanted.begin(), wanted.end(), one) == wanted.end())
      wanted.push_back(std::move(one));
  }
  nowhere_ = wanted.empty();
  Go(std::move(wanted), chain.connect_timeout);
}

bool UpstreamRoute::CanDial(const authz::ChainTarget& target) {
  if (!target.peer.empty()) {
    SayOnce(target.id + " is a peer's, whose instances cannot be called from here");
    return false;
  }
  if (!own_) return true;  // looked at again once we know who we are
  if (IsDefault(target.ns, own_->ns) && IsDefault(target.partition, own_->partition)) return true;
  SayOnce(target.id + " is in another namespace or partition, which is not asked for");
  return false;
}

// In Consul's order: what the upstream or its proxy says goes before service-defaults and
// proxy-defaults, which are in the chain.
config::MeshGateway UpstreamRoute::GatewayTo(const std::string& datacenter,
                                             const std::string& mode) {
  if (datacenter.empty()) return config::MeshGateway::kNone;
  if (settings_.mesh_gateway) return *settings_.mesh_gateway;
  if (mode.empty()) return config::MeshGateway::kNone;
  const auto read = config::ParseMeshGateway(mode);
  if (read) return *read;
  SayOnce("mesh gateway mode " + authz::Shortened(mode) + " to " + datacenter +
          " is not known: its instances are dialled directly");
  return config::MeshGateway::kNone;
}

void UpstreamRoute::SayOnce(const std::string& what) {
  beyond_ += (beyond_.empty() ? "its discovery chain: " : "; ") + what;
  if (said_.insert(what).second)
    log_.Warn("control", "part of a discovery chain is not followed",
              {{"upstream", settings_.name}, {"what", what}});
}

void UpstreamRoute::OnChainError(const Error& error) {
  if (chain_ || targets_.front().followed) return;
  // Refused, or without sense: until there is another word the upstream is what its name says, as
  // far as the token reaches; a broken chain leads nowhere.
  if (!chain_watch_->state().refusal.empty()) {
    Go({Itself()}, {});
  } else if (Broken(error.message)) {
    on_change_();
  }
}

void UpstreamRoute::Go(std::vector<UpstreamSource::Target> wanted,
                       const std::string& connect_timeout) {
  const auto timeout = config::ParseDuration(connect_timeout);
  chain_connect_timeout_.reset();
  if (timeout && timeout->count() > 0 && *timeout != data::UpstreamRules{}.connect_timeout)
    chain_connect_timeout_ = *timeout;
  // Who stays keeps what it knows. One that leads nowhere has nobody, whatever was known of it.
  const auto find = [this](const UpstreamSource::Target& target) {
    return std::find_if(targets_.begin(), targets_.end(), [&](const Target& one) {
      return !nowhere_ && one.source && one.source->target() == target;
    });
  };
  if (nowhere_) wanted.push_back(Itself());
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
    if (best != active_) {
      const std::size_t before = std::exchange(active_, best);
      if (best > before) {
        log_.Warn("control", "an upstream fails over",
                  {{"upstream", settings_.name}, {"to", NameOf(best)}, {"reason", FailedOver()}});
      } else {
        log_.Info("control", "an upstream is back at a target that goes before",
                  {{"upstream", settings_.name}, {"to", NameOf(best)}, {"from", NameOf(before)}});
      }
    }
  }
  Publish();
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

bool UpstreamRoute::Notable() const {
  return !Decided() || nowhere_ || !beyond_.empty() || targets_.size() > 1 ||
         source().target() != Itself() ||
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
  return Broken(chain_watch_->state().last_error);
}

std::string UpstreamRoute::Complaint() const {
  if (!Decided() && Broken(chain_watch_->state().last_error))
    return chain_watch_->state().last_error;
  if (std::string own = source().Complaint(); !own.empty() && !nowhere_) return own;
  if (active_ > 0) return "connections go to " + NameOf(active_) + ": " + FailedOver();
  return beyond_;
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
