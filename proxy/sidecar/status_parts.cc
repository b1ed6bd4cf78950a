#include "proxy/sidecar/status_parts.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "proxy/data/endpoint_history.h"
#include "proxy/data/outliers.h"

namespace mooring::sidecar {

using nlohmann::json;

namespace {

json SecondsOf(net::MonotonicTime::duration time) {
  return std::chrono::duration<double>(time).count();
}

const char* NearnessName(data::Nearness nearness) {
  switch (nearness) {
    case data::Nearness::kNode: return "node";
    case data::Nearness::kZone: return "zone";
    case data::Nearness::kFar: return "far";
  }
  return "";
}

json EndpointJson(const data::Endpoint& endpoint, net::MonotonicTime now) {
  const data::EndpointHistory& history = *endpoint.history;
  const data::Ejection& ejection = history.ejection();
  const data::EndpointState state = data::StateOf(history, now);
  const auto took = history.connect_time();
  json out{{"address", endpoint.address.Text()},
           {"instance", InstanceJson(endpoint.instance.get())},
           {"weight", endpoint.weight},
           {"nearness", NearnessName(endpoint.nearness)},
           {"state", data::EndpointStateName(state)},
           {"state_seconds", nullptr},
           {"attempts", history.attempts()},
           {"failures", history.failures()},
           {"failures_in_a_row", history.failures_in_a_row()},
           {"in_flight", history.in_flight()},
           {"connect_seconds",
            took ? json(std::chrono::duration<double>(*took).count()) : json(nullptr)},
           {"ejections", ejection.count()},
           {"ejected_seconds_left", nullptr},
           {"probes", ejection.probes()},
           {"probes_failed", ejection.probes_failed()},
           {"last_failure", nullptr}};
  if (state != data::EndpointState::kUnused)
    out["state_seconds"] = SecondsOf(now - data::InStateSince(history, state));
  if (state == data::EndpointState::kEjected)
    out["ejected_seconds_left"] = SecondsOf(ejection.until() - now);
  if (const data::CloseReason reason = history.failed_for(); reason != data::CloseReason::kDone) {
    out["last_failure"] = {
        {"reason", data::CloseReasonName(reason)},
        {"seconds_ago", std::chrono::duration<double>(now - history.failed_at()).count()}};
  }
  return out;
}

}  // namespace

json ListenerJson(const control::ListenerSet::View& view, net::MonotonicTime now) {
  json out{{"name", view.name},
           {"address", view.address},
           {"state", !view.open           ? "failed"
                     : view.refuses_since ? "refusing"
                                          : "open"},
           {"error", view.error},
           {"refuses", nullptr}};
  if (view.refuses_since) {
    out["refuses"] = {
        {"why", view.refuses_for},
        {"seconds", std::chrono::duration<double>(now - *view.refuses_since).count()}};
  }
  return out;
}

json LimitJson(const LimitView& limit) {
  return {{"limit", limit.setting},
          {"listener", limit.listener},
          {"most", limit.most},
          {"used", limit.used},
          {"refused", limit.refused},
          {"identity", limit.identity.empty() ? json(nullptr) : json(limit.identity)}};
}

json WatchJson(const control::Watch& watch, net::MonotonicTime now) {
  const control::Watch::State& state = watch.state();
  json out{{"name", watch.name()},
           {"index", state.index},
           {"updates", state.updates},
           {"errors", state.errors},
           {"last_error", state.last_error}};
  switch (state.phase) {
    case control::Watch::State::Phase::kStarting: out["state"] = "starting"; break;
    case control::Watch::State::Phase::kOk: out["state"] = "ok"; break;
    case control::Watch::State::Phase::kRetrying: out["state"] = "retrying"; break;
  }
  // What is in force stays so; but nobody has confirmed it, or said why not.
  const auto unanswered = watch.UnansweredSince();
  out["unanswered_seconds"] =
      unanswered ? json(std::chrono::duration<double>(now - *unanswered).count()) : json(nullptr);
  if (unanswered) out["state"] = "unanswered";
  switch (state.source) {
    case control::Watch::State::Source::kNone: out["source"] = "none"; break;
    case control::Watch::State::Source::kAgent: out["source"] = "agent"; break;
    case control::Watch::State::Source::kDisk: out["source"] = "disk"; break;
    case control::Watch::State::Source::kPredecessor: out["source"] = "predecessor"; break;
  }
  out["asks"] = watch.Blocks() ? "blocking" : "polled";
  out["cached"] = state.cached;
  out["version"] = state.version;
  out["filtered_by_acls"] = state.filtered;
  out["stale"] = watch.TooOld();
  const auto confirmed = watch.ConfirmedAt();
  out["age_seconds"] =
      confirmed ? json(std::chrono::duration<double>(now - *confirmed).count()) : json(nullptr);
  return out;
}

json CatalogJson(const control::UpstreamRoute& source, std::size_t most) {
  json departed = json::array();
  if (const auto gone = source.Rules()->departed) {
    for (const auto& [instance, why] : gone->why) {
      if (departed.size() < most)
        departed.push_back({{"node", instance.first}, {"id", instance.second}, {"why", why}});
    }
  }
  json out{{"select", nullptr},
           {"on_departure", source.source().FollowsDepartures() ? "close" : "keep"},
           {"sees_changes", source.source().SeesAtOnce() ? "at once" : "within 3 s"},
           {"departed", std::move(departed)},
           {"failed_over", source.FailedOver()},
           {"targets", json::array()}};
  for (const control::UpstreamRoute::TargetView& target : source.Targets()) {
    if (source.Notable() && out["targets"].size() < most)
      out["targets"].push_back({{"target", target.name},
                                {"active", target.active},
                                {"followed", target.followed},
                                {"healthy", target.healthy}});
  }
  if (const control::TaggedInstances* tagged = source.source().tagged()) {
    out["select"] = {{"tag", source.settings().select},
                     {"known", tagged->known()},
                     {"listed", tagged->listed()},
                     {"held_back", tagged->pending()}};
  }
  return out;
}

json InstanceJson(const data::Instance* instance) {
  if (instance == nullptr) return nullptr;
  return {{"id", instance->id}, {"node", instance->node}, {"datacenter", instance->datacenter}};
}

std::string Written(const json& document) {
  return document.dump(2, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
}

std::string WrittenInOneLine(const json& document) {
  return document.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
}

bool IsFailing(const data::Endpoint& endpoint) {
  return endpoint.history->failures_in_a_row() > 0 || endpoint.history->ejection().out();
}

std::size_t EjectedOf(const data::UpstreamRules& rules) {
  return static_cast<std::size_t>(
      std::count_if(rules.endpoints.begin(), rules.endpoints.end(),
                    [&](const data::Endpoint& each) { return !data::InService(rules, each); }));
}

json EndpointsJson(const data::UpstreamRules& rules, std::size_t most, net::MonotonicTime now) {
  std::vector<const data::Endpoint*> first;
  for (const bool failing : {true, false}) {
    for (const data::Endpoint& endpoint : rules.endpoints) {
      if (first.size() < most && IsFailing(endpoint) == failing) first.push_back(&endpoint);
    }
  }
  json out = json::array();
  for (const data::Endpoint* endpoint : first) out.push_back(EndpointJson(*endpoint, now));
  return out;
}

}  // namespace mooring::sidecar
