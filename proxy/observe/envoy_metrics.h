// What Envoy would say of the same traffic, by its names and with the tags that Consul's bootstrap
// gives them. The topology page of Consul's UI and Consul's dashboards ask for those.
//
// Numbers are our own families' (families.h). Tags that Consul calls deprecated are left out, and
// so are those that would be empty, which is the same to Prometheus. Control thread. Source:
// scrapes of Envoy 1.40 behind the bootstrap of Consul 1.21.
#pragma once

#include <cstdint>
#include <string>

#include "authz/spiffe.h"
#include "proxy/data/traffic.h"
#include "proxy/observe/exposition.h"

namespace mooring::observe {

// EnvoyCounts are those of one listener and of what stands behind it.
struct EnvoyCounts {
  std::int64_t accepted = 0;
  std::int64_t reached = 0;  // the app or an instance took it
  std::int64_t failed = 0;   // nobody did, of those who were tried
  std::int64_t open = 0;
  std::int64_t bytes_in = 0, bytes_out = 0;  // plaintext, from and to the client
  std::int64_t kept_in = 0, kept_out = 0;
  std::int64_t endpoints = 0, healthy = 0;  // behind it
  std::int64_t ejected = 0, ejections = 0;  // of these: now, and since ever
};

// Add adds what a flow has counted.
void Add(EnvoyCounts* counts, const data::Flow& flow);

class EnvoyMetrics final {
 public:
  // `self` is whose series they are, both outlive this.
  EnvoyMetrics(Exposition& out, const authz::ServiceId& self);

  void AddServer(bool live, double uptime_seconds);
  void AddHeap();  // the process's
  void AddPublicListener(const EnvoyCounts& counts);
  void AddUpstream(const authz::ServiceId& upstream, const EnvoyCounts& counts);
  // AddOverload: so many had to go for want of resources.
  void AddOverload(data::ListenerKind kind, std::int64_t count);

 private:
  void AddListener(const Labels& labels, const EnvoyCounts& counts);
  void AddCluster(const Labels& labels, const EnvoyCounts& counts);

  Exposition& out_;
  const std::string ns_, partition_;
  Labels source_;
};

}  // namespace mooring::observe
