#include "proxy/control/upstream_source.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <tuple>
#include <utility>

#include "authz/text.h"
#include "proxy/control/answer_headers.h"
#include "proxy/net/name_service.h"

namespace mooring::control {
namespace {

using net::milliseconds;

constexpr milliseconds kPollQuery{10'000};
// An agent or server that has just started may list nobody at first. The instances known before are
// tried that much longer: they prove who they are, and a dead one costs a failed attempt.
constexpr milliseconds kBelieveEmpty{2'000};
constexpr std::size_t kMostSni = 255;  // of a name in SNI, as BoringSSL has it
// Whose sessions end by the catalog's word waits for it before all others, however little it is
// used.
constexpr std::chrono::hours kAhead{24 * 365};
constexpr milliseconds kForgetDeparted{60'000};  // beyond the grace
constexpr std::size_t kMostSaid = 8;             // instances, in one line of the log

Watch::Options WatchOptions(const config::UpstreamSettings& upstream,
                            const UpstreamSource::Target& target, bool stale,
                            const std::shared_ptr<data::LastUse>& use) {
  Watch::Options options;
  options.name = "upstream:" + upstream.Name() + (target.id.empty() ? "" : " => " + target.id);
  const std::string dc =
      target.datacenter.empty() ? std::string() : "dc=" + authz::PercentEncoded(target.datacenter);
  if (upstream.type == authz::UpstreamType::kPreparedQuery) {
    options.path = "/v1/query/" + authz::PercentEncoded(upstream.name) + "/execute";
    options.query = "connect=true" + (dc.empty() ? dc : "&" + dc);
    options.blocking = Watch::Blocking::kNone;
    options.poll_interval = kPollQuery;
  } else {
    options.path = "/v1/health/connect/" + authz::PercentEncoded(target.service);
    options.query = dc;
    if (!target.filter.empty())
      options.query += (dc.empty() ? "filter=" : "&filter=") + authz::PercentEncoded(target.filter);
    const bool keen = upstream.on_departure == config::OnDeparture::kClose;
    options.last_used = [use, keen] { return keen ? use->at() + kAhead : use->at(); };
  }
  if (stale) options.query += options.query.empty() ? "stale" : "&stale";
  options.needs = "service:read on \"" + target.service + "\" and node:read";
  options.partial = Watch::Options::Partial::kInsteadOfNothing;
  // Half a list looks as if the other half had left.
  options.rewinds = Watch::Options::Rewinds::kWaitAfterFailure;
  return options;
}

data::Balance BalanceOf(const config::UpstreamSettings& upstream) {
  switch (upstream.balance.value_or(config::Balance::kLeastConnections)) {
    case config::Balance::kLeastConnections: return data::Balance::kLeastConnections;
    case config::Balance::kLeastTime: return data::Balance::kLeastTime;
    case config::Balance::kRoundRobin: return data::Balance::kRoundRobin;
    case config::Balance::kRandom: return data::Balance::kRandom;
    case config::Balance::kSticky: return data::Balance::kSticky;
  }
  return data::Balance::kLeastConnections;
}

data::EjectionRules EjectionOf(const config::UpstreamSettings& upstream) {
  data::EjectionRules rules;
  rules.after = upstream.eject_after.value_or(rules.after);
  rules.time = upstream.eject_time.value_or(rules.time);
  rules.longest = upstream.eject_longest.value_or(rules.longest);
  rules.quiet = upstream.eject_quiet;
  rules.enforced = upstream.eject_enforced;
  rules.share = upstream.eject_share;
  return rules;
}

// The tags are those of the app's own entries, whose health is none of theirs.
Watch::Options TagsOptions(const config::UpstreamSettings& upstream,
                           const UpstreamSource::Target& target, bool stale,
                           const std::shared_ptr<data::LastUse>& use) {
  Watch::Options options = WatchOptions(upstream, target, stale, use);
  options.name.replace(0, options.name.find(':'), "tags");
  options.path = "/v1/health/service/" + authz::PercentEncoded(target.service);
  return options;
}

// Remote gateways are looked for where the instances are.
Watch::Options GatewayOptions(const config::UpstreamSettings& upstream,
                              const UpstreamSource::Target& target, bool stale,
                              const std::shared_ptr<data::LastUse>& use) {
  UpstreamSource::Target where = target;
  where.service = upstream.mesh_gateway_service;
  where.filter.clear();
  if (target.gateway == config::MeshGateway::kLocal) where.datacenter.clear();
  Watch::Options options = TagsOptions(upstream, where, stale, use);
  options.name.replace(0, options.name.find(':'), "gateways");
  return options;
}

Absence::Answer AnswerOf(const Watch& watch, const http::Response& response, bool empty) {
  return {empty, watch.AfterLoss(), HeaderSays(response, kFilteredHeader, "true")};
}

// NewlyLeft names, for a line of the log, those that had not left before.
std::string NewlyLeft(const data::Departed& departed, const data::Departed* before) {
  std::string text;
  std::size_t count = 0;
  for (const auto& [key, why] : departed.why) {
    if (before != nullptr && before->why.contains(key)) continue;
    if (++count > kMostSaid) continue;
    text += (text.empty() ? "" : ", ") + key.first + "/" + key.second + ": " + why;
  }
  if (count > kMostSaid) text += ", and " + std::to_string(count - kMostSaid) + " more";
  return text;
}

}  // namespace

UpstreamSource::UpstreamSource(net::Loop& loop, log::Log& log, Agent* agent,
                               config::UpstreamSettings upstream, Target target,
                               milliseconds connect_timeout, milliseconds idle_timeout,
                               std::shared_ptr<data::UpstreamMemory> memory, OnChange on_change)
    : loop_(loop),
      log_(log),
      settings_(std::move(upstream)),
      target_(std::move(target)),
      connect_timeout_(settings_.connect_timeout.value_or(connect_timeout)),
      idle_timeout_(settings_.idle_timeout.value_or(idle_timeout)),
      memory_(std::move(memory)),
      on_change_(std::move(on_change)),
      names_(
          net::NameService::Of(loop).names(), net::NameKind::kEndpoint,
          [&loop](std::function<void()> task) { loop.Defer(std::move(task)); },
          [this] { Publish(); },
          [this](const std::string& error) {
            log_.Warn("control", "endpoint not resolved, will retry",
                      {{"upstream", settings_.name}, {"error", error}});
          }),
      healthy_(settings_.passing_only.value_or(false) || target_.only_passing),
      use_again_(loop, [this] { Use(); }) {
  if (settings_.endpoints.empty() && agent != nullptr) {
    const bool query = settings_.type == authz::UpstreamType::kPreparedQuery;
    watch_.emplace(loop, log, *agent, WatchOptions(settings_, target_, agent->stale(), use_),
                   [this, query](const http::Response& response) {
                     return query ? TakeQuery(response) : TakeInstances(response);
                   });
    if (!query && !settings_.select.empty()) {
      tags_watch_.emplace(loop, log, *agent, TagsOptions(settings_, target_, agent->stale(), use_),
                          [this](const http::Response& response) { return TakeTags(response); });
    }
    if (!query && target_.gateway != config::MeshGateway::kNone) {
      gateways_watch_.emplace(
          loop, log, *agent, GatewayOptions(settings_, target_, agent->stale(), use_),
          [this](const http::Response& response) { return TakeGateways(response); });
    }
    if (!query && settings_.on_departure == config::OnDeparture::kClose)
      departures_.emplace(Grace() + kForgetDeparted);
  }
  Publish();
}

void UpstreamSource::Start() {
  if (watch_) {
    watch_->Start();
    if (tags_watch_) tags_watch_->Start();
    if (gateways_watch_) gateways_watch_->Start();
  } else {
    names_.Set(settings_.endpoints);
  }
}

void UpstreamSource::OnError(const std::function<void()>& on_error) {
  for (auto* watch : {&watch_, &tags_watch_, &gateways_watch_}) {
    if (*watch) (*watch)->OnError([on_error](const Error&) { on_error(); });
  }
}

bool UpstreamSource::Fails() const {
  const auto watches = Watches();
  return std::any_of(watches.begin(), watches.end(),
                     [](const Watch* watch) { return !watch->state().last_error.empty(); });
}

bool UpstreamSource::Use(const config::UpstreamSettings& next, milliseconds connect_timeout,
                         milliseconds idle_timeout) {
  const auto asked = [](const config::UpstreamSettings& each) {
    return std::tie(each.type, each.name, each.datacenter, each.endpoints, each.select,
                    each.passing_only, each.on_departure, each.departure_grace, each.mesh_gateway,
                    each.mesh_gateway_service);
  };
  if (asked(next) != asked(settings_)) return false;
  const milliseconds connect = next.connect_timeout.value_or(connect_timeout);
  const milliseconds idle = next.idle_timeout.value_or(idle_timeout);
  const bool same = next == settings_ && connect == connect_timeout_ && idle == idle_timeout_;
  settings_ = next;
  connect_timeout_ = connect;
  idle_timeout_ = idle;
  if (!same) Publish(/*anyway=*/true);
  return true;
}

void UpstreamSource::SetOwnIdentity(const std::string& trust_domain, const authz::ServiceId& own) {
  if (own_ && *own_ == own && trust_domain_ == trust_domain) return;
  const bool moved = !own_ || own_->datacenter != own.datacenter;
  own_ = own;
  trust_domain_ = trust_domain;
  // Which addresses lead to an instance depends on the datacenter that we are in.
  if (moved && instances_ && !holding_on_) Use();
  Publish();
}

void UpstreamSource::SetPlace(const Place& place) {
  if (place_ == place) return;
  place_ = place;
  if (instances_ && !holding_on_) Use();
}

void UpstreamSource::Take(std::vector<authz::Instance> instances, const http::Response& response) {
  const bool hold_on = HoldOn(instances);
  absence_.Note(AnswerOf(*watch_, response, instances.empty()), loop_.now());
  instances_ = std::move(instances);
  translated_ = response.Header("x-consul-translate-addresses") != nullptr;
  if (hold_on) {
    if (!std::exchange(holding_on_, true)) use_again_.Start(kBelieveEmpty);
    return;
  }
  Use();
}

bool UpstreamSource::HoldOn(const std::vector<authz::Instance>& instances) {
  return instances.empty() && !names_.endpoints().empty() && (holding_on_ || watch_->AfterLoss());
}

void UpstreamSource::Use() {
  use_again_.Stop();
  holding_on_ = false;
  if (settings_.type == authz::UpstreamType::kPreparedQuery) {
    std::vector<authz::Instance> filtered = *instances_;
    std::erase_if(filtered, [this](const auto& instance) { return healthy_.Spares(instance); });
    names_.Set(Places(filtered));
    return;
  }
  if ((tags_watch_ && !tagged_.known()) || (gateways_watch_ && !gateways_)) return;
  const net::MonotonicTime now = loop_.now();
  tagged_.Settle(now);
  std::vector<authz::Instance> healthy = healthy_.Take(*instances_, now);
  std::erase_if(healthy, [this](const auto& instance) { return !Chosen(instance); });
  listed_ = {};
  for (const authz::Instance& instance : *instances_) {
    if (Chosen(instance)) ++listed_[static_cast<std::size_t>(NearnessOf(instance))];
  }
  FollowDepartures(now);
  if (gateways_watch_) {
    // Behind a gateway nobody tells instances apart: it is there, or they are not.
    listed_ = {};
    names_.Set(healthy.empty() ? std::vector<EndpointNames::Wanted>() : Places(*gateways_));
  } else {
    names_.Set(Places(healthy));
  }
  Publish();
  std::optional<net::MonotonicTime> next;
  for (const auto& due : {healthy_.Next(), tagged_.Next(now), absence_.Next(now),
                          departures_ ? departures_->Next() : std::nullopt}) {
    if (due) next = next ? std::min(*next, *due) : *due;
  }
  if (next) use_again_.Start(std::chrono::ceil<milliseconds>(*next - now));
}

bool UpstreamSource::Chosen(const authz::Instance& instance) const {
  return !tags_watch_ || tagged_.Has(instance);
}

data::Nearness UpstreamSource::NearnessOf(const authz::Instance& instance) const {
  return own_ ? control::NearnessOf(instance, place_, own_->datacenter) : data::Nearness::kFar;
}

void UpstreamSource::FollowDepartures(net::MonotonicTime now) {
  if (!departures_) return;
  const auto before = std::exchange(
      departed_, departures_->Take(
                     *instances_, [this](const auto& instance) { return Chosen(instance); },
                     settings_.select, absence_.Counts(now), now));
  if (!departed_ || data::Same(departed_, before)) return;
  const std::string left = NewlyLeft(*departed_, before.get());
  if (left.empty()) return;
  log_.Info("control", "instances have left; sessions to them end",
            {{"upstream", settings_.name}, {"instances", left}, {"grace_ms", Grace().count()}});
}

std::vector<EndpointNames::Wanted> UpstreamSource::Places(
    const std::vector<authz::Instance>& instances) const {
  std::vector<EndpointNames::Wanted> places;
  std::set<std::pair<std::string, std::uint16_t>> seen;
  for (const authz::Instance& instance : instances) {
    net::Address address;
    address.host = instance.address;
    address.port = instance.port;
    // In another datacenter the LAN address leads nowhere, unless the agent has translated it
    // already.
    const bool remote =
        own_ && !instance.datacenter.empty() && instance.datacenter != own_->datacenter;
    if (remote && !translated_ && !instance.wan_address.empty()) {
      address.host = instance.wan_address;
      if (instance.wan_port != 0) address.port = instance.wan_port;
    }
    if (!seen.emplace(address.host, address.port).second) continue;
    data::Endpoint endpoint;
    endpoint.weight = instance.weight;
    endpoint.nearness = NearnessOf(instance);
    endpoint.instance = std::make_shared<const data::Instance>(
        data::Instance{instance.id, instance.node, instance.datacenter, instance.locality});
    places.push_back({std::move(address), std::move(endpoint)});
  }
  return places;
}

std::vector<const Watch*> UpstreamSource::Watches() const {
  std::vector<const Watch*> watches;
  for (const auto* watch : {&watch_, &tags_watch_, &gateways_watch_}) {
    if (*watch) watches.push_back(&**watch);
  }
  return watches;
}

bool UpstreamSource::Answered() const {
  const auto watches = Watches();
  return std::all_of(watches.begin(), watches.end(), [](const Watch* watch) {
    return watch->state().source != Watch::State::Source::kNone || !watch->state().refusal.empty();
  });
}

bool UpstreamSource::SeesAtOnce() const {
  const auto watches = Watches();
  return std::all_of(watches.begin(), watches.end(),
                     [](const Watch* watch) { return watch->Blocks(); });
}

bool UpstreamSource::TooOld() const {
  const auto watches = Watches();
  return std::any_of(watches.begin(), watches.end(),
                     [](const Watch* watch) { return watch->TooOld(); });
}

std::string UpstreamSource::TooLongToDial() const {
  const std::size_t size = rules_ && rules_->identity ? rules_->identity->Sni().size() : 0;
  if (size <= kMostSni) return {};
  return "none of its instances can be called: service, namespace, datacenter and trust domain "
         "make "
         "a name of " +
         std::to_string(size) + " bytes, and TLS takes " + std::to_string(kMostSni) +
         "; register it under a shorter name";
}

std::string UpstreamSource::Complaint() const {
  if (std::string too_long = TooLongToDial(); !too_long.empty()) return too_long;
  for (const Watch* watch : Watches()) {
    if (!watch->state().refusal.empty()) return watch->Refusal();
    if (watch->state().filtered)
      return "the answer was filtered by ACLs: " + watch->needs() + " is missing";
  }
  if (!peer_.empty())
    return "the query has failed over to peer " + peer_ +
           ", whose instances cannot be called from here";
  if (gateways_ && gateways_->empty()) {
    const bool local = target_.gateway == config::MeshGateway::kLocal;
    return "no healthy mesh gateway " + settings_.mesh_gateway_service + " in " +
           (local ? "our own datacenter" : target_.datacenter) + ", by which connections to " +
           target_.datacenter + " go";
  }
  if (!spelling_.empty() && !settings_.any_case) {
    return "the catalog spells it " + spelling_ + "; write it so, for its sidecars prove that name";
  }
  return {};
}

void UpstreamSource::CheckAge() {
  if (rules_->stale != TooOld()) Publish();
}

Status UpstreamSource::TakeInstances(const http::Response& response) {
  auto instances = authz::ParseInstances(response.body);
  if (!instances) return instances.error();
  NoteSpelling(*instances);
  Take(std::move(*instances), response);
  return Ok();
}

Status UpstreamSource::TakeGateways(const http::Response& response) {
  auto gateways = authz::ParseGateways(response.body);
  if (!gateways) return gateways.error();
  std::erase_if(*gateways, [](const authz::Instance& one) { return one.critical; });
  gateways_ = *std::move(gateways);
  if (instances_ && !holding_on_) Use();
  return Ok();
}

Status UpstreamSource::TakeTags(const http::Response& response) {
  const auto apps = authz::ParseAppInstances(response.body, settings_.select);
  if (!apps) return apps.error();
  tagged_.Note(*apps, AnswerOf(*tags_watch_, response, apps->empty()), loop_.now());
  if (instances_ && !holding_on_) Use();
  return Ok();
}

Status UpstreamSource::TakeQuery(const http::Response& response) {
  auto answer = authz::ParseQuery(response.body);
  if (!answer) return answer.error();
  query_service_ = answer->service;
  query_datacenter_ = answer->datacenter;
  NotePeer(answer->peer);
  Take(std::move(answer->instances), response);
  Publish();
  return Ok();
}

// Consul finds a service whatever the letter case, and gives the certificate to the spelling of its
// registration.
void UpstreamSource::NoteSpelling(const std::vector<authz::Instance>& instances) {
  std::string spelling;
  for (const authz::Instance& instance : instances) {
    const std::string& claimed = instance.claimed_service;
    if (claimed == target_.service) {
      spelling.clear();
      break;
    }
    if (spelling.empty() && authz::EqualIgnoringCase(claimed, target_.service)) spelling = claimed;
  }
  if (instances.empty() || spelling == spelling_) return;
  spelling_ = std::move(spelling);
  if (!spelling_.empty() && settings_.any_case) {
    log_.Warn("control", "the catalog spells an upstream otherwise; any_case accepts that identity",
              {{"upstream", settings_.name}, {"catalog", spelling_}});
  } else if (!spelling_.empty()) {
    log_.Warn("control", "the catalog spells an upstream otherwise; write it so",
              {{"upstream", settings_.name}, {"catalog", spelling_}});
  }
  Publish();
}

void UpstreamSource::NotePeer(const std::string& peer) {
  if (peer == peer_) return;
  peer_ = peer;
  if (!peer_.empty()) {
    log_.Warn("control",
              "a query has failed over to a peer, whose instances cannot be called from here",
              {{"upstream", settings_.name}, {"peer", peer_}});
  }
}

std::shared_ptr<const authz::ServiceId> UpstreamSource::IdentityToProve() const {
  authz::ServiceId id;
  // It says who the upstream's own instances are, here or in the datacenter that it names. Where a
  // chain leads to others, those prove their own identity.
  const bool is_upstreams_own =
      target_.service == settings_.name &&
      (target_.datacenter == settings_.datacenter ||
       (settings_.spiffe_id && target_.datacenter == settings_.spiffe_id->datacenter));
  if (settings_.spiffe_id && is_upstreams_own) {
    id = *settings_.spiffe_id;
  } else if (own_) {
    const bool query = settings_.type == authz::UpstreamType::kPreparedQuery;
    id = *own_;
    id.trust_domain = trust_domain_;
    id.service = query                                      ? query_service_
                 : settings_.any_case && !spelling_.empty() ? spelling_
                                                            : target_.service;
    if (query) {
      if (!query_datacenter_.empty()) id.datacenter = query_datacenter_;
    } else if (!target_.datacenter.empty()) {
      id.datacenter = target_.datacenter;
    }
    // A name that cannot stand in a SPIFFE ID can be proven by nobody: dial nobody.
    if (!authz::ParseServiceId(id.Uri())) return nullptr;
  } else {
    return nullptr;
  }
  if (rules_ && rules_->identity && *rules_->identity == id) return rules_->identity;
  return std::make_shared<const authz::ServiceId>(std::move(id));
}

void UpstreamSource::Publish(bool anyway) {
  auto rules = std::make_shared<data::UpstreamRules>();
  rules->name = settings_.Name();
  rules->known = names_.known();
  rules->identity = IdentityToProve();
  rules->endpoints = names_.endpoints();
  for (data::Endpoint& endpoint : rules->endpoints) {
    endpoint.identity = rules->identity;
    endpoint.server_name = target_.server_name;
  }
  std::stable_sort(
      rules->endpoints.begin(), rules->endpoints.end(),
      [](const data::Endpoint& a, const data::Endpoint& b) { return a.nearness < b.nearness; });
  rules->connect_timeout = connect_timeout_;
  rules->attempts = settings_.attempts.value_or(rules->attempts);
  rules->attempt_delay = settings_.attempt_delay.value_or(rules->attempt_delay);
  rules->early_close = settings_.early_close.value_or(rules->early_close);
  rules->probe_interval = settings_.probe_interval.value_or(rules->probe_interval);
  rules->retries = memory_->retries;
  rules->idle_timeout = idle_timeout_;
  rules->listed = listed_;
  rules->departed = departed_;
  rules->departure_grace = Grace();
  rules->stale = TooOld();
  rules->resumes = settings_.tls_resumption.value_or(true);
  rules->use = use_;
  rules->balance = BalanceOf(settings_);
  rules->prefer_near = settings_.prefer_near.value_or(rules->prefer_near);
  rules->ejection = EjectionOf(settings_);
  rules->outliers = memory_->outliers;
  rules->kept = memory_->kept;
  rules->caps = memory_->caps;
  if (!anyway && rules_ && rules_->known == rules->known && rules_->endpoints == rules->endpoints &&
      data::Same(rules_->identity, rules->identity) && rules_->stale == rules->stale &&
      rules_->listed == rules->listed && data::Same(rules_->departed, rules->departed)) {
    return;
  }
  // until then those of before are not forgotten
  if (rules->known) memory_->histories.Attach(&rules->endpoints);
  const bool said = !TooLongToDial().empty();
  rules_ = std::move(rules);
  if (const std::string why = TooLongToDial(); !said && !why.empty())
    log_.Warn("control", "an upstream cannot be called",
              {{"upstream", settings_.name}, {"error", why}});
  on_change_();
}

}  // namespace mooring::control
