// ProxyConfig: what this proxy is to do now, from the settings alone or from its registration in
// the agent.
//
// A plain value. FromDocument reads the opaque Config maps by the keys that Consul, its built-in
// proxy and Envoy know, loosely typed as they are written; what we do not know or cannot honour
// becomes a warning (said once by the caller), never an error that would take the proxy down.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "authz/consul/api.h"
#include "proxy/config/settings.h"
#include "proxy/net/loop.h"

namespace mooring::control {

using net::milliseconds;

// NamedUpstream is an upstream with the name of its listener, unique and stable:
// "upstream:facebox".
struct NamedUpstream {
  std::string listener;
  config::UpstreamSettings settings;
  bool operator==(const NamedUpstream&) const = default;
};

struct ProxyConfig {
  std::string service;   // whose identity we bear
  std::string proxy_id;  // empty: no registration of ours is read
  std::optional<net::Address> public_listen;
  std::optional<net::Address> local_app;
  milliseconds handshake_timeout{};
  milliseconds local_connect_timeout{};
  bool proxy_protocol = false;
  std::optional<unsigned> max_inbound_connections;
  milliseconds inbound_idle_timeout{};
  authz::Locality locality;  // where the registration says that we are
  milliseconds connect_timeout{};
  milliseconds idle_timeout{};
  std::vector<NamedUpstream> upstreams;
  std::vector<std::string> warnings;  // whole sentences, stable wording
};

ProxyConfig FromSettings(const config::ServiceSettings& settings);
ProxyConfig FromDocument(const authz::ProxyDocument& document,
                         const config::ServiceSettings& settings);

}  // namespace mooring::control
