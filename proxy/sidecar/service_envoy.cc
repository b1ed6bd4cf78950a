// Service::MeasureAsEnvoy: the same numbers as Measure's, under Envoy's names.
#include <chrono>
#include <map>
#include <string>
#include <utility>

#include "proxy/data/outliers.h"
#include "proxy/observe/envoy_metrics.h"
#include "proxy/sidecar/service.h"
#include "proxy/sidecar/status_parts.h"

namespace mooring::sidecar {
namespace {

using observe::EnvoyCounts;

struct Cluster {
  authz::ServiceId id;
  EnvoyCounts counts;
};
using Clusters = std::map<std::pair<std::string, std::string>, Cluster>;  // service, datacenter

// ClusterOf is where a flow to that destination is counted; made if it is not there.
Cluster& ClusterOf(Clusters* clusters, const authz::ServiceId& self, const std::string& service,
                   const std::string& datacenter) {
  const auto [found, is_new] = clusters->try_emplace({service, datacenter});
  if (is_new) {
    found->second.id = self;
    found->second.id.service = service;
    found->second.id.datacenter = datacenter;
  }
  return found->second;
}

void AddEndpoints(Clusters* clusters, const authz::ServiceId& self,
                  const data::UpstreamRules& rules) {
  Cluster& cluster = rules.identity ? ClusterOf(clusters, self, rules.identity->service,
                                                rules.identity->datacenter)
                                    : ClusterOf(clusters, self, rules.name, {});
  if (rules.identity) cluster.id = *rules.identity;
  for (const data::Endpoint& endpoint : rules.endpoints) {
    ++cluster.counts.endpoints;
    if (!IsFailing(endpoint)) ++cluster.counts.healthy;
  }
  cluster.counts.ejected += static_cast<std::int64_t>(EjectedOf(rules));
  if (rules.outliers) cluster.counts.ejections += rules.outliers->ejections();
}

}  // namespace

void Service::MeasureAsEnvoy(observe::Exposition* out, bool with_heap) const {
  const auto identity = identity_ ? identity_->Current() : nullptr;
  if (!identity) return;  // whose they are is a tag of all these
  const authz::ServiceId& self = identity->leaf->id();
  observe::EnvoyMetrics envoy(*out, self);
  const net::MonotonicTime now = loop_.now();
  envoy.AddServer(!draining_, std::chrono::duration<double>(now - shared_.started_at).count());
  if (with_heap) envoy.AddHeap();

  // What the public listener has counted is its own count and no sum of flows: a sum would fall
  // when one of them is forgotten, and a counter must not.
  EnvoyCounts inbound;
  std::int64_t inbound_overload = 0, outbound_overload = 0;
  for (const data::ServiceHost* host : hosts_) {
    const data::ServiceStats& stats = host->stats();
    inbound.accepted += stats.inbound.total.value();
    inbound.reached += stats.inbound.reached.value();
    inbound.failed += stats.inbound.closed[data::CloseReason::kLocalConnectFailed].value();
    inbound.bytes_in += stats.inbound.bytes_in.value();
    inbound.bytes_out += stats.inbound.bytes_out.value();
    inbound_overload += stats.inbound.closed[data::CloseReason::kOutOfResources].value();
    outbound_overload += stats.outbound.closed[data::CloseReason::kOutOfResources].value();
  }
  Clusters clusters;
  for (const auto& [listener, source] : upstreams_) AddEndpoints(&clusters, self, *source->Rules());
  for (const auto& flow : traffic_->Flows(now)) {
    if (flow->key.kind == data::ListenerKind::kPublic) {
      inbound.open += flow->open.value();
      inbound.kept_in += flow->kept_in.value();
      inbound.kept_out += flow->kept_out.value();
    } else {
      observe::Add(&ClusterOf(&clusters, self, flow->key.destination, flow->key.datacenter).counts,
                   *flow);
    }
  }
  if (snapshot_ && snapshot_->inbound) {
    inbound.endpoints = inbound.healthy = 1;
    envoy.AddPublicListener(inbound);
    envoy.AddOverload(data::ListenerKind::kPublic, inbound_overload);
  }
  for (const auto& [key, cluster] : clusters) envoy.AddUpstream(cluster.id, cluster.counts);
  if (!clusters.empty()) envoy.AddOverload(data::ListenerKind::kUpstream, outbound_overload);
}

}  // namespace mooring::sidecar
