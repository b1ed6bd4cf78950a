#include "proxy/sidecar/status_parts.h"

#include <chrono>
#include <nlohmann/json.hpp>

#include "proxy/data/endpoint_history.h"

namespace mooring::sidecar {

using nlohmann::json;

namespace {

json EndpointJson(const data::Endpoint& endpoint, net::MonotonicTime now) {
  const data::EndpointHistory& history = *endpoint.history;
  const auto took = history.connect_time();
  json out{{"address", endpoint.address.Text()},
           {"instance", InstanceJson(endpoint.instance.get())},
           {"weight", endpoint.weight},
           {"state", data::EndpointStateName(history)},
           {"attempts", history.attempts()},
           {"failures", history.failures()},
           {"failures_in_a_row", history.failures_in_a_row()},
           {"in_flight", history.in_flight()},
           {"connect_seconds",
            took ? json(std::chrono::duration<double>(*took).count()) : json(nullptr)},
           {"last_failure", nullptr}};
  if (const data::CloseReason reason = history.failed_for(); reason != data::CloseReason::kDone) {
    out["last_failure"] = {
        {"reason", data::CloseReasonName(reason)},
        {"seconds_ago", std::chrono::duration<double>(now - history.failed_at()).count()}};
  }
  return out;
}

}  // namespace

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

bool IsFailing(const data::Endpoint& endpoint) { return endpoint.history->failures_in_a_row() > 0; }

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
