#include "proxy/observe/envoy_metrics.h"

#include <malloc.h>

#include <string_view>

namespace mooring::observe {
namespace {

constexpr std::string_view kPublicListener = "public_listener";
constexpr std::string_view kUpstream = "upstream";
constexpr std::string_view kLocalApp = "local_app";
constexpr std::string_view kDomainEnd = ".consul";  // of a trust domain

std::string OrDefault(const std::string& name) { return name.empty() ? "default" : name; }

Labels With(Labels labels, const Labels& more) {
  for (const auto& [name, value] : more) {
    if (!value.empty()) labels.emplace_back(name, value);
  }
  return labels;
}

}  // namespace

void Add(EnvoyCounts* counts, const data::Flow& flow) {
  counts->accepted += flow.opened.value();
  counts->reached += flow.connect.total();
  counts->failed += flow.unreached.value();
  counts->open += flow.open.value();
  counts->bytes_in += flow.bytes_in.value();
  counts->bytes_out += flow.bytes_out.value();
  counts->kept_in += flow.kept_in.value();
  counts->kept_out += flow.kept_out.value();
}

EnvoyMetrics::EnvoyMetrics(Exposition& out, const authz::ServiceId& self)
    : out_(out),
      ns_(OrDefault(self.ns)),
      partition_(OrDefault(self.partition)),
      source_(With({}, {{"local_cluster", self.service},
                        {"consul_source_service", self.service},
                        {"consul_source_namespace", ns_},
                        {"consul_source_partition", partition_},
                        {"consul_source_datacenter", self.datacenter}})) {}

void EnvoyMetrics::AddServer(bool live, double uptime_seconds) {
  out_.Add(family::kEnvoyLive, source_, std::int64_t{live ? 1 : 0});
  out_.Add(family::kEnvoyUptime, source_, static_cast<std::int64_t>(uptime_seconds));
}

void EnvoyMetrics::AddHeap() {
#if __GLIBC_PREREQ(2, 33)
  const struct mallinfo2 heap = mallinfo2();
#else
  const struct mallinfo counted = mallinfo();  // as int: right up to 4 GiB
  const struct {
    std::uint64_t arena, hblkhd, uordblks;
  } heap{static_cast<std::uint32_t>(counted.arena), static_cast<std::uint32_t>(counted.hblkhd),
         static_cast<std::uint32_t>(counted.uordblks)};
#endif
  out_.Add(family::kEnvoyHeap, source_, static_cast<std::int64_t>(heap.arena + heap.hblkhd));
  out_.Add(family::kEnvoyAllocated, source_,
           static_cast<std::int64_t>(heap.uordblks + heap.hblkhd));
}

void EnvoyMetrics::AddPublicListener(const EnvoyCounts& counts) {
  AddListener({{"envoy_tcp_prefix", kPublicListener}}, counts);
  AddCluster({{"envoy_cluster_name", kLocalApp}}, counts);
}

void EnvoyMetrics::AddUpstream(const authz::ServiceId& upstream, const EnvoyCounts& counts) {
  const std::string ns = OrDefault(upstream.ns);
  const std::string partition = OrDefault(upstream.partition);
  AddListener({{"envoy_tcp_prefix", kUpstream},
               {"consul_upstream_service", upstream.service},
               {"consul_upstream_namespace", ns},
               {"consul_upstream_partition", partition},
               {"consul_upstream_datacenter", upstream.datacenter}},
              counts);
  // What Consul's tags find in the name of the cluster, which is the SNI.
  const bool elsewhere = !upstream.partition.empty();
  const std::string_view type = elsewhere ? "internal-v1" : "internal";
  std::string_view domain = upstream.trust_domain;
  if (domain.ends_with(kDomainEnd)) domain.remove_suffix(kDomainEnd.size());
  std::string target = upstream.service + '.' + ns;
  if (elsewhere) target += '.' + partition;
  target += '.' + upstream.datacenter;
  const std::string whole = target + '.' + std::string(type) + '.' + std::string(domain);
  AddCluster({{"envoy_cluster_name", upstream.service},
              {"consul_destination_service", upstream.service},
              {"consul_destination_namespace", ns},
              {"consul_destination_partition", upstream.partition},
              {"consul_destination_datacenter", upstream.datacenter},
              {"consul_destination_routing_type", type},
              {"consul_destination_trust_domain", domain},
              {"consul_destination_target", target},
              {"consul_destination_full_target", whole}},
             counts);
}

void EnvoyMetrics::AddOverload(data::ListenerKind kind, std::int64_t count) {
  const Labels labels =
      With(source_, {{"envoy_listener_address",
                      kind == data::ListenerKind::kPublic ? kPublicListener : kUpstream}});
  out_.Add(family::kEnvoyOverload, labels, count);
  out_.Add(family::kEnvoyOverflow, labels, std::int64_t{0});
}

void EnvoyMetrics::AddListener(const Labels& own, const EnvoyCounts& counts) {
  const Labels labels = With(source_, own);
  out_.Add(family::kEnvoyTcpOpened, labels, counts.accepted);
  out_.Add(family::kEnvoyTcpReceived, labels, counts.bytes_in);
  out_.Add(family::kEnvoyTcpSent, labels, counts.bytes_out);
  out_.Add(family::kEnvoyTcpNoRoute, labels, std::int64_t{0});
  out_.Add(family::kEnvoyTcpReceivedKept, labels, counts.kept_in);
  out_.Add(family::kEnvoyTcpSentKept, labels, counts.kept_out);
}

void EnvoyMetrics::AddCluster(const Labels& own, const EnvoyCounts& counts) {
  const Labels labels = With(source_, own);
  out_.Add(family::kEnvoyClusterOpened, labels, counts.reached + counts.failed);
  out_.Add(family::kEnvoyClusterOpen, labels, counts.open);
  out_.Add(family::kEnvoyClusterFailed, labels, counts.failed);
  out_.Add(family::kEnvoyClusterReceived, labels, counts.bytes_out);
  out_.Add(family::kEnvoyClusterSent, labels, counts.bytes_in);
  out_.Add(family::kEnvoyClusterRequests, labels, counts.reached);
  out_.Add(family::kEnvoyHealthy, labels, counts.healthy);
  out_.Add(family::kEnvoyEndpoints, labels, counts.endpoints);
  out_.Add(family::kEnvoyEjected, labels, counts.ejected);
  out_.Add(family::kEnvoyEjections, labels, counts.ejections);
}

}  // namespace mooring::observe
