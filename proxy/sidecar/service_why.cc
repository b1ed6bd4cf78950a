// Service::Why: what would become of a connection, step by step, from the objects that decide. Part
// of /why.
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "authz/rfc3339.h"
#include "proxy/data/endpoint_history.h"
#include "proxy/observe/advice.h"
#include "proxy/sidecar/service.h"
#include "proxy/sidecar/status_parts.h"

namespace mooring::sidecar {
namespace {

using nlohmann::json;

// What is in the way is a step that says no; what cannot be known here says so.
constexpr char kYes[] = "yes", kNo[] = "no", kUnknown[] = "unknown";

void Say(json* steps, const char* what, const char* holds, const std::string& says,
         const std::string& next = {}) {
  steps->push_back({{"what", what}, {"holds", holds}, {"says", says}, {"next", next}});
}

std::string DaysLeft(std::chrono::system_clock::duration left) {
  const auto hours = std::chrono::duration_cast<std::chrono::hours>(left).count();
  return std::to_string(hours / 24) + " d " + std::to_string(hours % 24) + " h left";
}

// IsUpstream: it is called that in our configuration, as a listener, or by whom its instances must
// prove to be.
bool IsUpstream(const std::string& listener, const control::UpstreamRoute& source,
                const std::string& name) {
  const auto rules = source.Rules();
  return source.settings().name == name || listener == name ||
         (rules->identity && rules->identity->service == name);
}

// Names are of the two that an answer is about.
struct Names {
  std::string source;
  std::string destination;
};

constexpr std::size_t kMostInstances = 32;  // of an upstream; it may have fifty thousand

std::string Seconds(net::MonotonicTime::duration time) {
  return std::to_string(std::chrono::ceil<std::chrono::seconds>(time).count()) + " s";
}

// InTrouble is what is known of an instance whose last attempts failed.
std::string InTrouble(const data::EndpointHistory& history, net::MonotonicTime now) {
  const data::EndpointState state = data::StateOf(history, now);
  std::string says = "its last " + std::to_string(history.failures_in_a_row()) + " attempts failed";
  if (const data::CloseReason reason = history.failed_for(); reason != data::CloseReason::kDone)
    says += std::string(", the last one for ") + data::CloseReasonName(reason) + " " +
            Seconds(now - history.failed_at()) + " ago";
  const data::Ejection& ejection = history.ejection();
  if (state == data::EndpointState::kEjected)
    says += "; ejected for " + Seconds(ejection.until() - now) + " more";
  if (state == data::EndpointState::kProbation)
    says += "; its ejection is over, and it waits for the attempt that proves it";
  return says;
}

// WhatToDo is about the last failure there.
std::string WhatToDo(const data::EndpointHistory& history, const Names& names) {
  if (history.failed_for() == data::CloseReason::kDone)
    return "The log's lines `upstream attempt failed` have the reason of each.";
  const observe::Advice advice =
      observe::AdviceOn(history.failed_for(), data::ListenerKind::kUpstream);
  return observe::WithNames(advice.next, names.source, names.destination);
}

// Instances in trouble come first. One of them is in the way only where no other is left.
void SayInstances(json* steps, const data::UpstreamRules& rules, const Names& names,
                  net::MonotonicTime now) {
  const std::vector<data::Endpoint>& endpoints = rules.endpoints;
  const bool lost = std::all_of(endpoints.begin(), endpoints.end(), IsFailing);
  if (EjectedOf(rules) == endpoints.size())
    Say(steps, "its instances", kUnknown, "every one is ejected: all are tried",
        "`mooring status` has the reason of each.");
  std::size_t said = 0;
  for (const bool failing : {true, false}) {
    for (const data::Endpoint& endpoint : endpoints) {
      if (IsFailing(endpoint) != failing || said == kMostInstances) continue;
      ++said;
      const data::EndpointHistory& history = *endpoint.history;
      const bool proven = !failing && history.attempts() > 0;
      std::string says = endpoint.address.Text();
      if (endpoint.instance)
        says += " (" + endpoint.instance->node + "/" + endpoint.instance->id + ")";
      says += ": " + (failing  ? InTrouble(history, now)
                      : proven ? std::string("reached and proven before")
                               : std::string("not tried yet"));
      Say(steps, "an instance",
          lost     ? kNo
          : proven ? kYes
                   : kUnknown,
          says, failing ? WhatToDo(history, names) : "");
    }
  }
  if (said < endpoints.size())
    Say(steps, "its instances", kUnknown,
        "and " + std::to_string(endpoints.size() - said) + " more", "`mooring status`.");
}

void SayPort(json* steps, const control::ListenerSet::View& view, net::MonotonicTime now) {
  constexpr char kPort[] = "its local port";
  if (!view.open) {
    Say(steps, kPort, kNo, view.address + ": " + view.error,
        "`ss -ltnp` shows who holds the port.");
  } else if (view.refuses_since) {
    const auto since = std::chrono::duration_cast<std::chrono::seconds>(now - *view.refuses_since);
    Say(steps, kPort, kNo,
        view.address + " has refused for " + std::to_string(since.count()) +
            " s: " + view.refuses_for,
        "It takes connections again once an instance is healthy; `no_endpoint: reset` has it take "
        "and reset them meanwhile.");
  } else {
    Say(steps, kPort, kYes, view.address + " is open: the app connects there");
  }
}

// SayLimits: a limit that is reached is in the way of the next connection.
void SayLimits(json* steps, const std::vector<LimitView>& limits, const std::string& listener) {
  for (const LimitView& limit : limits) {
    if (limit.listener != listener) continue;
    const bool full = limit.used >= limit.most;
    const bool of_one = !limit.identity.empty();
    Say(steps, "a limit",
        !full    ? kYes
        : of_one ? kUnknown
                 : kNo,
        std::string(limit.setting) + ": " + std::to_string(limit.used) + " of " +
            std::to_string(limit.most) + (of_one ? ", of " + limit.identity : "") + ", " +
            std::to_string(limit.refused) + " refused until now",
        full ? "Who has them? `mooring connections`. Raise the limit, if they are meant to be."
             : "");
  }
}

// SayCatalog: which of the instances are meant, and who has left.
void SayCatalog(json* steps, const control::UpstreamRoute& source) {
  if (const std::string why = source.FailedOver(); !why.empty())
    Say(steps, "where its connections go", kYes, source.Active() + ", for " + why);
  if (const control::TaggedInstances* tagged = source.source().tagged();
      tagged && tagged->known()) {
    const std::size_t pending = tagged->pending();
    std::string says = "those whose service carries the tag " + source.settings().select + " (of " +
                       std::to_string(tagged->listed()) + ")";
    if (pending > 0)
      says += "; the last word on " + std::to_string(pending) +
              " is held back, since it changes so often";
    Say(steps, "which instances are meant", pending > 0 ? kUnknown : kYes, says,
        pending > 0 ? "Who sets that tag, and why so often?" : "");
  }
  const auto departed = source.Rules()->departed;
  if (!departed) return;
  std::size_t said = 0;
  for (const auto& [instance, why] : departed->why) {
    if (++said > kMostInstances) break;
    Say(steps, "an instance that has left", kYes,
        instance.first + "/" + instance.second + ": " + why + "; sessions to it end");
  }
}

}  // namespace

bool Service::HasUpstream(const std::string& name) const {
  return std::any_of(upstreams_.begin(), upstreams_.end(), [&](const auto& upstream) {
    return IsUpstream(upstream.first, *upstream.second, name);
  });
}

std::vector<std::string> Service::UpstreamNames() const {
  std::vector<std::string> names;
  for (const auto& [listener, source] : upstreams_) names.push_back(source->settings().name);
  return names;
}

// ExplainSelf is what either direction needs: that the service is up, its leaf, its roots.
void Service::ExplainSelf(json* steps) const {
  for (const std::string& reason : NotReady())
    Say(steps, "the proxy", kNo, reason, "`mooring status` shows each watch and listener.");
  for (const std::string& what : Degraded())
    Say(steps, "the proxy", kUnknown, what, "`mooring status`.");
  const auto identity = identity_ ? identity_->Current() : nullptr;
  if (!identity) {
    Say(steps, "our leaf certificate", kNo, "it is not known yet",
        "`mooring status` has the watch `leaf` and what the agent says.");
    return;
  }
  const auto left = identity->leaf->not_after() - std::chrono::system_clock::now();
  const bool expired = identity->leaf->ExpiredAt(std::chrono::system_clock::now());
  Say(steps, "our leaf certificate", expired ? kNo : kYes,
      identity->leaf->id().Uri() + ", ends " + authz::Rfc3339(identity->leaf->not_after()) +
          (expired ? "" : ", " + DaysLeft(left)),
      expired ? "`mooring status`: why could the agent not renew it?" : "");
  Say(steps, "CA roots", identity_->RootsTooOld() ? kNo : kYes,
      std::to_string(identity->roots->size()) + " of " + identity->roots->trust_domain() +
          (identity_->RootsTooOld() ? ", not confirmed for longer than max_stale" : ""),
      identity_->RootsTooOld() ? "`mooring status`: what does the agent answer?" : "");
}

void Service::WhyInbound(const std::string& source, json* out) const {
  json& steps = (*out)["steps"] = json::array();
  ExplainSelf(&steps);
  if (!PublicWanted()) {
    Say(&steps, "public listener", kNo, "this proxy has none: nobody can call it through it",
        "Give it one: -listen, or public_listener in the file.");
    return;
  }
  const auto identity = identity_ ? identity_->Current() : nullptr;
  if (!identity || !snapshot_) return;
  authz::ServiceId caller = identity->leaf->id();
  caller.service = source;
  if (const auto id = authz::ParseServiceId(source)) caller = *id;
  if (!snapshot_->intentions) {
    Say(&steps, "intentions", kNo, "they are not known yet, which denies everybody",
        "`mooring status` has the watch `intentions` and what the agent says.");
  } else {
    const authz::Decision decision = snapshot_->intentions->Decide(caller, snapshot_->fallback);
    const std::string cure =
        settings_.intentions
            ? "A rule in `intentions` of the file, if it is meant to be allowed."
            : observe::WithNames(
                  observe::AdviceOn(data::CloseReason::kDenied, data::ListenerKind::kPublic).next,
                  caller.service, config_->service);
    Say(&steps, "intentions", decision.allowed ? kYes : kNo,
        (decision.allowed ? "allowed by " : "denied by ") + decision.reason,
        decision.allowed ? "" : cure);
    if (snapshot_->intentions_stale)
      Say(&steps, "intentions", kNo, "not confirmed for longer than max_stale",
          "`mooring status`: what does the agent answer?");
  }
  SayLimits(&steps, Limits(), kPublic);
  const std::string app = config_->local_app ? config_->local_app->Text() : std::string();
  const bool found = local_app_ && !local_app_->endpoints().empty();
  Say(&steps, "the app", found ? kUnknown : kNo,
      app + (found ? ": asked only by a connection; the last ones are below"
                   : ": its address is not known"),
      found ? "`ss -ltnp` shows whether somebody listens there."
            : "Does the name resolve? `getent hosts NAME`.");
}

void Service::WhyOutbound(const std::string& destination, json* out) const {
  json& steps = (*out)["steps"] = json::array();
  ExplainSelf(&steps);
  for (const auto& [listener, source] : upstreams_) {
    if (!IsUpstream(listener, *source, destination)) continue;
    const auto rules = source->Rules();
    for (const auto& view : listeners_->Views()) {
      if (view.name == listener) SayPort(&steps, view, loop_.now());
    }
    SayLimits(&steps, Limits(), listener);
    if (!rules->known) {
      const std::string error = source->watch() ? source->watch()->state().last_error : "";
      Say(&steps, "its instances", kNo, "not known yet" + (error.empty() ? "" : ": " + error),
          "`mooring status` has the watch and what the agent says.");
      continue;
    }
    if (rules->identity) Say(&steps, "whom it must prove to be", kYes, rules->identity->Uri());
    SayCatalog(&steps, *source);
    if (rules->stale)
      Say(&steps, "its instances", kNo, "not confirmed for longer than max_stale",
          "`mooring status`: what does the agent answer?");
    if (rules->endpoints.empty()) {
      const observe::Advice none =
          observe::AdviceOn(data::CloseReason::kNoEndpoint, data::ListenerKind::kUpstream);
      const std::string& tag = source->settings().select;
      Say(&steps, "its instances", kNo,
          tag.empty() ? "none is healthy" : "none is healthy and carries the tag " + tag,
          observe::WithNames(none.next, config_->service, destination));
      continue;
    }
    SayInstances(&steps, *rules, {config_->service, destination}, loop_.now());
  }
}

}  // namespace mooring::sidecar
