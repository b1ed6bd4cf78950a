// Envoy's names and Consul's tags. tests/interop/test_envoy_metrics.py compares them with Envoy's
// own.
#include "proxy/observe/envoy_metrics.h"

#include <doctest/doctest.h>

#include <string>

namespace mooring {
namespace {

using observe::EnvoyCounts;
using observe::EnvoyMetrics;
using observe::Exposition;
using observe::Format;

const authz::ServiceId kSelf{"11111111-2222.consul", "", "default", "dc1", "web"};

std::string UpstreamText(const authz::ServiceId& upstream, const EnvoyCounts& counts = {}) {
  Exposition out(Format::kPrometheus);
  EnvoyMetrics(out, kSelf).AddUpstream(upstream, counts);
  return out.Text();
}

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("envoy metrics: a failed connection is one to the cluster, and no request") {
  EnvoyCounts counts;
  counts.accepted = 5;
  counts.reached = 3;
  counts.failed = 2;
  const std::string text = UpstreamText(kSelf, counts);
  CHECK(Has(text, "\nenvoy_tcp_downstream_cx_total{"));
  for (const char* sample :
       {"\nenvoy_cluster_upstream_cx_total{", "envoy_tcp_downstream_cx_total{"}) {
    const std::size_t at = text.find(sample);
    REQUIRE(at != std::string::npos);
    CHECK(text.substr(text.find("} ", at), 4) == "} 5\n");
  }
  const std::size_t requests = text.find("\nenvoy_cluster_upstream_rq_total{");
  REQUIRE(requests != std::string::npos);
  CHECK(text.substr(text.find("} ", requests), 4) == "} 3\n");
}

TEST_CASE("envoy metrics: outside the default partition the target names it") {
  const std::string here = UpstreamText({"td.consul", "", "default", "dc2", "db"});
  CHECK(Has(here, "consul_upstream_partition=\"default\""));
  CHECK_FALSE(Has(here, "consul_destination_partition"));
  CHECK(Has(here, "consul_destination_full_target=\"db.default.dc2.internal.td\""));
  const std::string there = UpstreamText({"td.consul", "west", "front", "dc2", "db"});
  CHECK(Has(there, "consul_upstream_partition=\"west\""));
  CHECK(Has(there, "consul_destination_partition=\"west\""));
  CHECK(Has(there, "consul_destination_target=\"db.front.west.dc2\""));
  CHECK(Has(there, "consul_destination_full_target=\"db.front.west.dc2.internal-v1.td\""));
}

TEST_CASE("envoy metrics: what is not known is no tag, and what others say is text") {
  const std::string text = UpstreamText({"td.consul", "", "default", "", "a\"} 9\n"});
  CHECK_FALSE(Has(text, "consul_upstream_datacenter"));
  CHECK(Has(text, "consul_upstream_service=\"a\\\"} 9\\n\""));
}

}  // namespace
}  // namespace mooring
