// The agent's JSON documents as values: one decoder a document, for live and for saved answers.
//
// Every decoder takes the body's bytes and returns the whole value or an Error, never a part of it;
// the Error names the place and repeats no value but names (bodies hold private keys). Loose where
// Consul is loose: null stands for absent, numbers may come as integer, float or numeric string,
// unknown keys are ignored. Strict otherwise: nesting deeper than 64 levels, bad UTF-8 and a key
// given twice in one object are refused, so are NUL characters in what is read. Pure: no sockets,
// no clock, no certificates (PEM text stays text). Source: Consul agent HTTP API, 1.8 to 1.22.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "authz/intention.h"
#include "authz/locality.h"
#include "authz/result.h"
#include "authz/spiffe.h"

namespace mooring::authz {

// LeafDocument: GET /v1/agent/connect/ca/leaf/:service.
struct LeafDocument {
  std::string certificate_pem;  // the leaf, then its intermediates
  std::string private_key_pem;  // the owner cleanses it after use
};
Result<LeafDocument> ParseLeaf(std::string_view body);

// RootsDocument: GET /v1/agent/connect/ca/roots. Every root is trusted, active or not. An empty
// list is an error: it must never replace a good one.
struct RootsDocument {
  std::string trust_domain;
  // of a root each, and of several certificates where the agent has it so
  std::vector<std::string> pems;
};
Result<RootsDocument> ParseRoots(std::string_view body);

// Match list: GET /v1/connect/intentions/match?by=destination&name=:name. {"name": null} is no
// entries; an answer without the asked name is an error, and so is an entry without a source name
// or for another destination than `name` (letter case ignored, as Consul 1.8 looks up) or "*".
Result<std::vector<Intention>> ParseIntentionMatch(std::string_view body, const std::string& name);

// Authorize: POST /v1/agent/connect/authorize.
struct AuthorizeAnswer {
  bool authorized = false;
  std::string reason;
};
Result<AuthorizeAnswer> ParseAuthorize(std::string_view body);

// ParseTokenAccessor: the AccessorID of GET /v1/acl/token/self, which names a token without being
// one. The secret beside it in the body is not read.
Result<std::string> ParseTokenAccessor(std::string_view body);

// Instance is one entry of GET /v1/health/connect/:service and of a query's Nodes.
struct Instance {
  std::string node;
  std::string datacenter;
  std::string address;  // Service.Address, else Node.Address
  std::uint16_t port = 0;
  // For callers in another datacenter: the service's TaggedAddresses.wan, or its node's where
  // Service.Address is empty. Empty and 0 if there is none.
  std::string wan_address;
  std::uint16_t wan_port = 0;
  std::string id;  // service ID
  // of the app's own entry: Proxy.DestinationServiceID, which a proxy may leave out; a native one's
  // is `id`
  std::string app_id;
  std::string claimed_service;  // what the entry says it serves; never used to build an identity
  // Service.Locality, else Node.Locality, else the zone that the node's Meta names (`zone`)
  Locality locality;
  // Weights.Passing, from 1 on, or Weights.Warning if a check warns; up to 65535. 0, which only a
  // warning has: it wants no connection.
  int weight = 1;
  bool maintenance = false;  // an operator has taken it, or its node, out
  bool warning = false;      // some check is warning, none critical
  bool critical = false;     // some check is neither passing nor warning
  // Critical, and by no verdict: an agent that has just started lists every check as critical, with
  // an empty output, until it has run (1.8 to 1.21), and so does an alias of such a check.
  // Maintenance is a verdict.
  bool undecided = false;
  // of a check that has not run, as in "10s"; empty: none, or not told (1.8)
  std::string check_interval;
};
// Entries without a usable address or port, of a peer, and of kinds other than connect-proxy,
// terminating-gateway or native are left out.
Result<std::vector<Instance>> ParseInstances(std::string_view body);
// ParseGateways: those of GET /v1/health/service/:service that are mesh gateways.
Result<std::vector<Instance>> ParseGateways(std::string_view body);

// AppInstance is one entry of GET /v1/health/service/:service: an app, with or without a sidecar.
struct AppInstance {
  std::string node;
  std::string id;
  bool tagged = false;  // it carries the tag that was asked for; letter case ignored, as by Consul
};
Result<std::vector<AppInstance>> ParseAppInstances(std::string_view body, std::string_view tag);

// QueryAnswer: GET /v1/query/:id/execute?connect=true.
struct QueryAnswer {
  std::string service;  // the service that the query resolves to: the identity comes from it
  // the datacenter that answered; empty only without instances of our own trust domain
  std::string datacenter;
  // whose instances they are, where the query has failed over to a peer: `instances` has none
  std::string peer;
  std::vector<Instance> instances;
};
Result<QueryAnswer> ParseQuery(std::string_view body);

// Chain: GET /v1/discovery-chain/:service, as the agent has compiled it.
struct ChainTarget {
  std::string id;  // "v1.db.default.default.dc1"
  std::string service;
  std::string subset;         // its name; empty: all instances
  std::string filter;         // that the subset has; an expression for the agent
  bool only_passing = false;  // of the subset: who warns is left out
  std::string ns;
  std::string partition;
  std::string datacenter;  // empty for a peer's
  std::string peer;        // whose it is: cannot be dialled from here
  std::string sni;
  std::string mesh_gateway_mode;  // "", none, local, remote

  bool operator==(const ChainTarget&) const = default;
};
struct Chain {
  std::string service;     // whose it is
  std::string datacenter;  // that it was compiled for
  // The first is where connections go, the others stand in for it, in this order. Empty where
  // `beyond` is not.
  std::vector<ChainTarget> targets;
  std::string connect_timeout;  // as in "5s"
  std::string beyond;           // what of it a proxy at L4 cannot do; empty: nothing

  bool operator==(const Chain&) const = default;
};
Result<Chain> ParseChain(std::string_view body);

// OpaqueConfig is a flat view of a Config object: scalar values as text (3000.0 as "3000"), nested
// objects with dotted keys ("limits.max_connections"), list entries by number; keys in the letter
// case they came in. Nulls leave no trace.
using OpaqueConfig = std::map<std::string, std::string>;

enum class UpstreamType { kService, kPreparedQuery };

// UpstreamDocument is one entry of Proxy.Upstreams.
struct UpstreamDocument {
  UpstreamType type = UpstreamType::kService;
  std::string name;
  std::string ns;         // DestinationNamespace
  std::string partition;  // DestinationPartition; as in `ns`, empty means the proxy's own
  std::string peer;       // DestinationPeer: cannot be served, the caller says so
  std::string datacenter;
  std::string bind_address;  // empty: 127.0.0.1
  std::uint16_t bind_port = 0;
  std::string socket_path;  // LocalBindSocketPath; set together with a port is an error
  std::string socket_mode;  // octal text, e.g. "0600"
  OpaqueConfig config;
  std::string mesh_gateway_mode;  // of the upstream, else of the proxy
};

// ProxyDocument: GET /v1/agent/service/:id of kind connect-proxy (another kind is an error).
struct ProxyDocument {
  std::string id;
  std::string address;
  std::uint16_t port = 0;
  std::string destination_service;
  std::string local_service_address;  // empty: 127.0.0.1
  std::uint16_t local_service_port = 0;
  std::string local_service_socket_path;
  std::string mode;  // "", direct, transparent
  OpaqueConfig config;
  Locality locality;                        // of the registration; Consul 1.17 and later
  std::vector<UpstreamDocument> upstreams;  // without those named "*" or without port and socket
  bool exposes_paths = false;               // Expose.Checks or Expose.Paths set: cannot be honoured
};
Result<ProxyDocument> ParseProxy(std::string_view body);

// ParseServiceMeta: the value of one key of the Meta of GET /v1/agent/service/:id, of any kind;
// empty: it has none.
Result<std::string> ParseServiceMeta(std::string_view body, std::string_view key);

// MeshTls: the TLS section of GET /v1/config/mesh/mesh, names as they came. An empty body stands
// for no such entry. Another kind of entry is an error.
struct TlsParameters {
  std::string min_version;  // TLSv1_0 to TLSv1_3, TLS_AUTO, or empty
  std::string max_version;
  std::vector<std::string> cipher_suites;  // of TLS 1.2; empty: no wish
};
struct MeshTls {
  bool exists = false;
  TlsParameters incoming;
  TlsParameters outgoing;
};
Result<MeshTls> ParseMesh(std::string_view body);

// ParseMutualTlsMode: the MutualTLSMode of GET /v1/config/service-defaults/:name ("strict",
// "permissive"); empty: not set, or no such entry (an empty body).
Result<std::string> ParseMutualTlsMode(std::string_view body);

// Sidecars: the IDs, in ascending order, in GET /v1/agent/services whose Kind is connect-proxy and
// whose Proxy.DestinationServiceID equals `service_id`, letter case ignored (Consul 1.8.7 compares
// wrongly).
struct SidecarLookup {
  std::vector<std::string> proxy_ids;
  // 0 smells of a token without service:read: the agent filters the list silently.
  std::size_t services_seen = 0;
};
Result<SidecarLookup> ParseSidecars(std::string_view body, std::string_view service_id);

// ServiceChecks: what GET /v1/agent/checks says of one service instance.
struct ServiceChecks {
  std::string node;  // that it is registered on; empty: it has no check
  // Checks by which the agent itself looks at the instance: not a TTL, which is passed to it, nor
  // an alias of another's.
  struct Probe {
    bool critical = false;
    std::string interval;  // as in "10s"; empty: not told (1.8)
  };
  std::vector<Probe> probes;
  std::optional<std::string> maintenance;  // its reason, while the instance is in maintenance
};
Result<ServiceChecks> ParseServiceChecks(std::string_view body, std::string_view instance_id);

// ParseAgentNode: the node of the agent that answers GET /v1/agent/checks, for every check there is
// of its own node. Empty: it has none, or shows us none.
Result<std::string> ParseAgentNode(std::string_view body);

// ParseNodeLocality: where GET /v1/catalog/node/:node says that the node is, by its Locality, else
// by the zone that its Meta names (`zone`). An empty body stands for no such node.
Result<Locality> ParseNodeLocality(std::string_view body);

}  // namespace mooring::authz
