// Service::Measure: a service's part of /metrics, beside /status from the same objects. Numbers of
// the workers are read while they run, so sums may be a moment apart.
#include <chrono>
#include <map>
#include <string>
#include <utility>

#include "proxy/data/outliers.h"
#include "proxy/observe/exposition.h"
#include "proxy/observe/families.h"
#include "proxy/observe/flow_metrics.h"
#include "proxy/sidecar/service.h"
#include "proxy/sidecar/status_parts.h"

namespace mooring::sidecar {
namespace {

using observe::Exposition;
using observe::Labels;
namespace family = observe::family;

// An upstream may have thousands of endpoints; beyond this they are not told apart.
constexpr std::size_t kMostEndpoints = 64;

struct EndpointCounts {
  std::int64_t attempts = 0, failures = 0, in_flight = 0;
};

// An address is no label: what the catalog calls an instance stays where the address moves. Those
// that the file lists have their place in it.
std::string NameOf(const data::Endpoint& endpoint, std::size_t place) {
  if (!endpoint.instance) return "#" + std::to_string(place + 1);
  return endpoint.instance->node + "/" + endpoint.instance->id;
}

void AddCounts(Exposition* out, const Labels& labels, const EndpointCounts& counts) {
  out->Add(family::kEndpointAttempts, labels, counts.attempts);
  out->Add(family::kEndpointFailures, labels, counts.failures);
  out->Add(family::kEndpointInFlight, labels, counts.in_flight);
}

// UpstreamCounts are of all listeners that lead to one service.
struct UpstreamCounts {
  std::int64_t ejected = 0, ejections = 0, proven = 0, failed = 0;
};
using Upstreams = std::map<std::pair<std::string, std::string>, UpstreamCounts>;

std::pair<std::string, std::string> DestinationOf(const data::UpstreamRules& rules) {
  return {rules.identity ? rules.identity->service : rules.name,
          rules.identity ? rules.identity->datacenter : std::string()};
}

void Count(Upstreams* upstreams, const data::UpstreamRules& rules) {
  UpstreamCounts& counts = (*upstreams)[DestinationOf(rules)];
  counts.ejected += static_cast<std::int64_t>(EjectedOf(rules));
  if (!rules.outliers) return;
  counts.ejections += rules.outliers->ejections();
  counts.proven += rules.outliers->probes_proven();
  counts.failed += rules.outliers->probes_failed();
}

void AddUpstreams(Exposition* out, const std::string& service, const Upstreams& upstreams) {
  for (const auto& [destination, counts] : upstreams) {
    Labels labels{{"service", service},
                  {"destination_service", destination.first},
                  {"destination_datacenter", destination.second}};
    out->Add(family::kEjected, labels, counts.ejected);
    out->Add(family::kEjections, labels, counts.ejections);
    labels.emplace_back("result", "proven");
    out->Add(family::kProbes, labels, counts.proven);
    labels.back().second = "failed";
    out->Add(family::kProbes, labels, counts.failed);
  }
}

void AddEndpoints(Exposition* out, const std::string& service, const data::UpstreamRules& rules,
                  net::MonotonicTime now) {
  const auto& [destination, datacenter] = DestinationOf(rules);
  EndpointCounts others;
  for (std::size_t i = 0; i < rules.endpoints.size(); ++i) {
    const data::EndpointHistory& history = *rules.endpoints[i].history;
    if (i >= kMostEndpoints) {
      others.attempts += history.attempts();
      others.failures += history.failures();
      others.in_flight += history.in_flight();
      continue;
    }
    const std::string name = NameOf(rules.endpoints[i], i);
    Labels labels{{"service", service},
                  {"destination_service", destination},
                  {"destination_datacenter", datacenter},
                  {"endpoint", name}};
    AddCounts(out, labels, {history.attempts(), history.failures(), history.in_flight()});
    labels.emplace_back("state", data::EndpointStateName(data::StateOf(history, now)));
    out->Add(family::kEndpointState, labels, std::int64_t{1});
  }
  if (rules.endpoints.size() > kMostEndpoints) {
    AddCounts(out,
              {{"service", service},
               {"destination_service", destination},
               {"destination_datacenter", datacenter},
               {"endpoint", data::Traffic::kOther}},
              others);
  }
}

void AddWatch(Exposition* out, const std::string& service, const control::Watch* watch,
              net::MonotonicTime now) {
  if (watch == nullptr) return;
  const Labels labels{{"service", service}, {"watch", watch->name()}};
  out->Add(family::kAgentErrors, labels, static_cast<std::int64_t>(watch->state().errors));
  if (const auto confirmed = watch->ConfirmedAt()) {
    out->Add(family::kWatchAge, labels, std::chrono::duration<double>(now - *confirmed).count());
  }
}

}  // namespace

void Service::Measure(Exposition* out) const {
  const net::MonotonicTime now = loop_.now();
  const std::string& name = config_ ? config_->service : name_;
  const Labels own{{"service", name}};
  observe::AddTraffic(out, name, *traffic_, now);
  out->Add(family::kReady, own, std::int64_t{ready_ && !draining_ ? 1 : 0});
  if (const auto identity = identity_ ? identity_->Current() : nullptr) {
    const auto ends = identity->leaf->not_after().time_since_epoch();
    out->Add(
        family::kLeafExpiry, own,
        static_cast<std::int64_t>(std::chrono::duration_cast<std::chrono::seconds>(ends).count()));
  }
  std::int64_t pauses = 0;
  data::ReasonCounts failed;
  for (const data::ServiceHost* host : hosts_) {
    pauses += host->stats().accept_pauses.value();
    for (std::size_t i = 0; i < data::kCloseReasons; ++i) {
      const auto reason = static_cast<data::CloseReason>(i);
      failed[reason].Add(host->stats().outbound.attempts_failed[reason].value());
    }
  }
  for (std::size_t i = 0; i < data::kCloseReasons; ++i) {
    const auto reason = static_cast<data::CloseReason>(i);
    if (failed[reason].value() == 0) continue;
    out->Add(family::kAttemptsFailed,
             {{"service", name}, {"reason", data::CloseReasonName(reason)}},
             failed[reason].value());
  }
  out->Add(family::kAcceptPauses, own, pauses);
  out->Add(family::kHandshakesShed, own, HandshakesShed());
  Upstreams upstreams;
  for (const auto& [listener, source] : upstreams_) {
    AddEndpoints(out, name, *source->Rules(), now);
    Count(&upstreams, *source->Rules());
  }
  AddUpstreams(out, name, upstreams);
  for (const control::ListenerSet::View& view :
       listeners_ ? listeners_->Views() : std::vector<control::ListenerSet::View>{}) {
    if (upstreams_.contains(view.name))
      out->Add(family::kListenerRefusing, {{"service", name}, {"listener", view.name}},
               std::int64_t{view.refuses_since ? 1 : 0});
  }
  for (const LimitView& limit : Limits()) {
    const Labels labels{{"service", name}, {"listener", limit.listener}, {"limit", limit.setting}};
    out->Add(family::kLimit, labels, limit.most);
    out->Add(family::kLimitUsed, labels, limit.used);
    out->Add(family::kLimitRefused, labels, limit.refused);
  }
  for (const control::Watch* watch : Watches()) AddWatch(out, name, watch, now);
}

}  // namespace mooring::sidecar
