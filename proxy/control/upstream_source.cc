#include "proxy/control/upstream_source.h"

#include <algorithm>
#include <set>
#include <utility>

#include "proxy/net/name_service.h"

namespace mooring::control {
namespace {

using net::milliseconds;

constexpr milliseconds kPollQuery{10'000};
// An agent or server that has just started lists nobody until the first checks have passed. The instances known
// before are tried that much longer: they prove who they are, and a dead one costs a failed attempt.
constexpr milliseconds kBelieveEmpty{2'000};

std::string NameOf(const config::UpstreamSettings& upstream) {
  std::string name = upstream.name;
  if (upstream.type == authz::UpstreamType::kPreparedQuery) name += ".query";
  if (!upstream.datacenter.empty()) name += "@" + upstream.datacenter;
  return name;
}

Watch::Options WatchOptions(const config::UpstreamSettings& upstream, bool stale,
                            const std::shared_ptr<data::LastUse>& use) {
  Watch::Options options;
  options.name = "upstream:" + NameOf(upstream);
  const std::string dc =
      upstream.datacenter.empty() ? std::string() : "dc=" + UrlEncode(upstream.datacenter);
  if (upstream.type == authz::UpstreamType::kPreparedQuery) {
    options.path = "/v1/query/" + UrlEncode(upstream.name) + "/execute";
    options.query = "connect=true" + (dc.empty() ? dc : "&" + dc);
    options.blocking = Watch::Blocking::kNone;
    options.poll_interval = kPollQuery;
  } else {
    options.path = "/v1/health/connect/" + UrlEncode(upstream.name);
    options.query = "passing=true" + (dc.empty() ? dc : "&" + dc);
    options.last_used = [use] { return use->at(); };
  }
  if (stale) options.query += "&stale";
  options.needs = "service:read on \"" + upstream.name + "\" and node:read";
  options.partial = Watch::Options::Partial::kInsteadOfNothing;
  return options;
}

}  // namespace

UpstreamSource::UpstreamSource(net::Loop& loop, log::Log& log, Agent* agent,
                               config::UpstreamSettings upstream, milliseconds connect_timeout,
                               milliseconds idle_timeout, OnChange on_change)
    : settings_(std::move(upstream)),
      connect_timeout_(settings_.connect_timeout.value_or(connect_timeout)),
      idle_timeout_(settings_.idle_timeout.value_or(idle_timeout)),
      on_change_(std::move(on_change)),
      names_(loop.name_service().names(), net::NameKind::kEndpoint,
             [&loop](std::function<void()> task) { loop.Defer(std::move(task)); }, [this] { Publish(); },
             [this, &log](const std::string& error) {
               log.Warn("control", "endpoint not resolved, will retry", {{"upstream", settings_.name}, {"error", error}});
             }),
      believe_empty_(loop, [this] { names_.Set(Addresses()); }) {
  if (settings_.endpoints.empty() && agent != nullptr) {
    const bool query = settings_.type == authz::UpstreamType::kPreparedQuery;
    watch_.emplace(loop, log, *agent, WatchOptions(settings_, agent->stale(), use_),
                   [this, query](const http::Response& response) {
                     return query ? TakeQuery(response) : TakeInstances(response);
                   });
  }
  Publish();
}

void UpstreamSource::Start() {
  if (watch_) {
    watch_->Start();
  } else {
    names_.Set(settings_.endpoints);
  }
}

void UpstreamSource::SetOwnIdentity(const std::string& trust_domain, const authz::ServiceId& own) {
  if (own_ && *own_ == own && trust_domain_ == trust_domain) return;
  const bool moved = !own_ || own_->datacenter != own.datacenter;
  own_ = own;
  trust_domain_ = trust_domain;
  // Which addresses lead to an instance depends on the datacenter that we are in.
  if (moved && instances_) names_.Set(Addresses());
  Publish();
}

void UpstreamSource::Take(std::vector<authz::Instance> instances, const http::Response& response) {
  const bool hold_on = HoldOn(instances);
  instances_ = std::move(instances);
  translated_ = response.Header("x-consul-translate-addresses") != nullptr;
  if (hold_on) {
    if (!believe_empty_.running()) believe_empty_.Start(kBelieveEmpty);
    return;
  }
  believe_empty_.Stop();
  names_.Set(Addresses());
}

bool UpstreamSource::HoldOn(const std::vector<authz::Instance>& instances) {
  const bool nobody = std::all_of(instances.begin(), instances.end(),
                                  [](const authz::Instance& instance) { return instance.critical; });
  return nobody && !names_.endpoints().empty() &&
         (believe_empty_.running() || watch_->AfterLoss());
}

std::vector<net::Address> UpstreamSource::Addresses() const {
  std::vector<net::Address> addresses;
  std::set<std::pair<std::string, std::uint16_t>> seen;
  for (const authz::Instance& instance : *instances_) {
    if (instance.critical) continue;
    net::Address address;
    address.host = instance.address;
    address.port = instance.port;
    // In another datacenter the LAN address leads nowhere, unless the agent has translated it already.
    const bool remote = own_ && !instance.datacenter.empty() && instance.datacenter != own_->datacenter;
    if (remote && !translated_ && !instance.wan_address.empty()) {
      address.host = instance.wan_address;
      if (instance.wan_port != 0) address.port = instance.wan_port;
    }
    if (seen.emplace(address.host, address.port).second) addresses.push_back(std::move(address));
  }
  return addresses;
}

bool UpstreamSource::Answered() const {
  return !watch_ || watch_->state().source != Watch::State::Source::kNone || !watch_->state().refusal.empty();
}

std::string UpstreamSource::Refusal() const {
  if (!watch_) return {};
  if (!watch_->state().refusal.empty()) return watch_->state().refusal;
  return watch_->state().filtered ? "the answer was filtered by ACLs: " + watch_->needs() + " is missing" : std::string();
}

void UpstreamSource::CheckAge() {
  if (watch_ && rules_->stale != watch_->TooOld()) Publish();
}

Status UpstreamSource::TakeInstances(const http::Response& response) {
  auto instances = authz::ParseInstances(response.body);
  if (!instances) return instances.error();
  Take(std::move(*instances), response);
  return Ok();
}

Status UpstreamSource::TakeQuery(const http::Response& response) {
  auto answer = authz::ParseQuery(response.body);
  if (!answer) return answer.error();
  query_service_ = answer->service;
  query_datacenter_ = answer->datacenter;
  Take(std::move(answer->instances), response);
  Publish();
  return Ok();
}

void UpstreamSource::Publish() {
  auto rules = std::make_shared<data::UpstreamRules>();
  rules->name = NameOf(settings_);
  rules->known = names_.known();
  rules->endpoints = names_.endpoints();
  rules->connect_timeout = connect_timeout_;
  rules->idle_timeout = idle_timeout_;
  rules->stale = watch_ && watch_->TooOld();
  rules->resumes = settings_.tls_resumption.value_or(true);
  rules->use = use_;
  if (settings_.spiffe_id) {
    rules->identity = settings_.spiffe_id;
  } else if (own_) {
    const bool query = settings_.type == authz::UpstreamType::kPreparedQuery;
    authz::ServiceId id = *own_;
    id.trust_domain = trust_domain_;
    id.service = query ? query_service_ : settings_.name;
    if (query) {
      if (!query_datacenter_.empty()) id.datacenter = query_datacenter_;
    } else if (!settings_.datacenter.empty()) {
      id.datacenter = settings_.datacenter;
    }
    // A name that cannot stand in a SPIFFE ID can be proven by nobody: dial nobody.
    if (authz::ParseServiceId(id.Uri())) rules->identity = std::move(id);
  }
  if (rules_ && rules_->known == rules->known && rules_->endpoints == rules->endpoints &&
      rules_->identity == rules->identity && rules_->stale == rules->stale) {
    return;
  }
  rules_ = std::move(rules);
  on_change_();
}

}  // namespace mooring::control
