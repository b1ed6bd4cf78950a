// Settings: all that one run of the proxy is told at start, by flags and environment or by YAML.
// The one place for defaults. Both front ends fill the same struct; nothing after them checks it
// again. A plain value, constant after parsing.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "authz/consul/api.h"
#include "authz/intention.h"
#include "authz/spiffe.h"
#include "proxy/log/log.h"
#include "proxy/net/address.h"
#include "tls/context.h"

namespace mooring::config {

using std::chrono::milliseconds;

using LogLevel = log::Level;

// AgentSettings says how to reach the local Consul agent.
struct AgentSettings {
  net::Address address = net::Address::Tcp("127.0.0.1", 8500);
  bool https = false;
  std::string path_prefix;  // of http://host:port/prefix, without a final slash; put before /v1
  std::string token;        // an ACL secret: never logged
  std::string token_file;   // read at start and again when it changes; if non-empty content, it
                            // beats `token`
  std::string basic_auth;   // user:pass of CONSUL_HTTP_AUTH: never logged
  tls::HttpsOptions tls;
  std::string tls_server_name;  // name to verify instead of the host
  std::string ns;               // CONSUL_NAMESPACE, sent as ns=
  std::string partition;        // CONSUL_PARTITION, sent as partition=
  bool stale = false;           // -stale: read from any server
  // bytes of one answer; a larger one is refused
  std::size_t max_answer_size = std::size_t{64} << 20;
  unsigned max_connections = 8;  // to the agent at a time, kLeastAgentConnections or more
};

// Balance is by which rule an upstream's connections are spread.
enum class Balance { kLeastConnections, kLeastTime, kRoundRobin, kRandom, kSticky };
// NoEndpoint says what becomes of who connects to an upstream that is known to have no healthy
// instance: its port refuses, or takes the connection and resets it.
enum class NoEndpoint { kRefuse, kReset };

// OnDeparture says what becomes of live sessions to an instance that has left the catalog.
enum class OnDeparture { kKeep, kClose };

// MeshGateway says how instances of another datacenter are reached: directly, through a gateway of
// our own datacenter, or through one of theirs.
enum class MeshGateway { kNone, kLocal, kRemote };

struct UpstreamSettings {
  authz::UpstreamType type = authz::UpstreamType::kService;
  std::string name;
  std::string datacenter;  // empty: our own
  net::Address listen;
  std::vector<net::Address> endpoints;        // static; empty: discovered through the agent
  std::optional<authz::ServiceId> spiffe_id;  // overrides the identity built from the name
  std::optional<milliseconds> connect_timeout;
  std::optional<unsigned> attempts;
  std::optional<milliseconds> attempt_delay;
  std::optional<milliseconds> early_close;
  std::optional<milliseconds> failback_delay;
  std::optional<milliseconds> probe_interval;
  std::optional<milliseconds> idle_timeout;
  std::optional<bool> tls_resumption;
  std::optional<Balance> balance;
  std::optional<unsigned> prefer_near;  // percent
  std::optional<unsigned> eject_after;
  std::optional<milliseconds> eject_time;
  std::optional<milliseconds> eject_longest;
  // In Consul's words alone, with nothing at top level to go by.
  milliseconds eject_quiet{10'000};         // after so long in service the next ejection is shorter
  unsigned eject_enforced = 100;            // of ejections that are due, percent
  unsigned eject_share = 100;               // of the endpoints, percent
  std::optional<MeshGateway> mesh_gateway;  // absent: as Consul's configuration has it
  std::string mesh_gateway_service;         // by which they are found
  std::optional<NoEndpoint> no_endpoint;
  std::optional<unsigned> max_connections;  // absent: no limit; 0: none is let in
  std::optional<unsigned> max_pending;      // the same, of those that have no instance yet
  std::optional<bool> passing_only;
  std::optional<OnDeparture> on_departure;
  std::optional<milliseconds> departure_grace;
  std::string select;  // the tag of the app's service that an instance must carry; empty: any
  std::string from;    // where `listen` was written, for messages: "-upstream db"; empty: not here
  bool any_case = false;  // accept the identity that the catalog spells with other letter case

  // Name is what it is called where several are told apart: "db", "db.query", "db@dc2".
  std::string Name() const;

  bool operator==(const UpstreamSettings&) const = default;
};

// FileIdentity: our leaf, key and roots as files, watched and taken up only as a matching set.
struct FileIdentity {
  std::string certificate;  // absolute paths
  std::string private_key;
  std::string roots;
};

struct StaticIntentions {
  authz::DefaultPolicy fallback = authz::DefaultPolicy::kDeny;
  std::vector<authz::Intention> rules;  // precedence filled in: exact source 9, `*` 8
};

// OnRevoke says what a change of intentions, default or roots does to live connections that it
// forbids. kQuiet: those of intentions and default end between two exchanges.
enum class OnRevoke { kClose, kKeep, kQuiet };

// ServiceSettings is all that one represented service is told; what is left out comes from the
// agent.
struct ServiceSettings {
  // Who we are: exactly one of these three.
  std::string service;
  std::string proxy_id;
  std::string sidecar_for;
  // An ACL token of this service alone, instead of the agent's: never logged. Of the two the file's
  // beats the other.
  std::string token;
  std::string token_file;

  std::optional<FileIdentity> identity;       // absent: from the agent
  std::optional<net::Address> public_listen;  // absent with `service`: no public listener
  std::string listen_from;                    // where it was written, for messages; empty: not here
  std::optional<net::Address> local_app;
  std::optional<StaticIntentions> intentions;  // absent: from the agent
  std::vector<UpstreamSettings> upstreams;

  bool register_self = false;
  std::string register_id;  // suffix: <service>-proxy[-<register_id>]
  // host to register; empty: the public listener's, or the node's where that is every interface
  std::string advertise;

  OnRevoke on_revoke = OnRevoke::kClose;
  milliseconds revoke_grace{0};        // from the change to the cut
  milliseconds max_connection_age{0};  // 0: none
  bool tls_resumption = true;          // false: full handshakes only, as client and as server
  std::vector<std::string> tls_groups = tls::OurGroups();  // most preferred first

  milliseconds handshake_timeout{10'000};  // whole TLS handshake of an accepted connection
  // upstream: TCP, TLS and every further attempt together
  milliseconds connect_timeout{5'000};
  unsigned attempts = 10;           // endpoints that one connection is tried with, at most
  milliseconds attempt_delay{250};  // after it the next attempt begins beside the newest
  // an instance that ends a connection so soon after its proof, without a byte, has failed; 0: none
  milliseconds early_close{0};
  std::string mesh_gateway_service = "mesh-gateway";
  milliseconds failback_delay{0};
  milliseconds probe_interval{0};  // each endpoint is tried so often; 0: never
  Balance balance = Balance::kLeastConnections;
  unsigned prefer_near = 70;           // percent; 0: near and far are alike
  unsigned eject_after = 3;            // failures in a row; 0: nobody is ejected
  milliseconds eject_time{1'000};      // the first time; the n-th is n times as long
  milliseconds eject_longest{30'000};  // at most, but for what is added by chance
  NoEndpoint no_endpoint = NoEndpoint::kRefuse;
  bool passing_only = false;  // of an upstream's instances none whose checks warn
  OnDeparture on_departure = OnDeparture::kKeep;
  milliseconds departure_grace{1'000};        // from the departure to the cut
  milliseconds local_connect_timeout{1'000};  // to the local app
  bool proxy_protocol = false;                // tell the local app who calls
  // Of callers that were let in; absent: no limit.
  std::optional<unsigned> max_inbound_connections;
  std::optional<unsigned> max_connections_per_identity;  // the same, of one SPIFFE ID
  milliseconds idle_timeout{0};                          // no byte either way; 0: none
  // the same on the public listener; absent: idle_timeout
  std::optional<milliseconds> local_idle_timeout;

  // Name is what the operator calls it: the service, the proxy ID, or the instance whose sidecar it
  // is.
  const std::string& Name() const {
    return !service.empty() ? service : !proxy_id.empty() ? proxy_id : sidecar_for;
  }
  // HeldByAgent: listeners and upstreams come from its registration in the agent.
  bool HeldByAgent() const { return !proxy_id.empty() || !sidecar_for.empty(); }
  // NeedsAgent: something is to come from the agent.
  bool NeedsAgent() const;
};

// StopAfter is the app that goes first after the signal to stop; one of the three, or none.
struct StopAfter {
  std::optional<unsigned> pid;
  std::string pidfile;
  std::optional<unsigned> port;  // of TCP, at any local address
  milliseconds most{60'000};     // stop_max: then it is waited for no longer

  bool on() const { return pid || !pidfile.empty() || port; }
};

// AccessLogSettings: one line a connection, at its end.
struct AccessLogSettings {
  std::string to = "off";  // "off", "stdout", "journald", or a file's absolute path
  log::Format format = log::Format::kText;
  bool at_start = false;        // a line when its bytes begin to pass, too
  milliseconds every{0};        // and one so often while it lives; 0: none
  unsigned refused_one_in = 1;  // of those that end for one reason without having been served

  bool on() const { return to != "off"; }
  bool operator==(const AccessLogSettings&) const = default;
};

// Seccomp says what becomes of a system call that is not one of a sidecar's: it fails, it ends the
// process, or it is made.
enum class Seccomp { kOn, kKill, kOff };

// ConfineSettings: what the process has the kernel hold it to, from its start on.
struct ConfineSettings {
  bool no_new_privileges = true;
  bool drop_capabilities = true;
  Seccomp seccomp = Seccomp::kOn;
  bool landlock = true;
  std::vector<std::string> folders;  // absolute; beside those that other settings name

  bool operator==(const ConfineSettings&) const = default;
};

// Settings, the process's and each service's.
struct Settings {
  std::vector<ServiceSettings> services;  // at least one
  bool wait_for_agent = true;  // sidecar_for: wait for the agent and the registration; false: fail
                               // at once as consul does

  AgentSettings agent;
  std::optional<net::Address> admin;  // absent: no admin port
  std::string admin_from;             // where it was written, for messages
  // a name by which it is asked, beside IP addresses and localhost; empty: none
  std::string admin_host;
  bool admin_allow_remote = false;      // it may be beyond loopback
  bool admin_allow_drain = false;       // POST /drain over TCP, too
  bool admin_tap = false;               // it may copy a connection's plaintext
  std::optional<net::Address> metrics;  // /metrics, /ready and /live alone; absent: no such port
  std::string metrics_from;             // where it was written, for messages
  bool envoy_names = true;              // /metrics says the same by Envoy's names, too

  std::string datacenter;  // -datacenter: saved state of another one is not used; empty: of any
  std::string state_dir;   // where the agent's last good answers are kept; empty: nowhere
  // $STATE_DIRECTORY: systemd's choice, not the operator's
  bool state_dir_from_environment = false;
  bool cache_private_key = true;  // in state_dir; false: no start without the agent
  // where a process hands over to its successor; empty: nowhere
  std::string handover_dir;
  // made of $RUNTIME_DIRECTORY: systemd's choice, not the operator's
  bool handover_dir_from_environment = false;
  bool take_over = false;          // from the process that serves there
  milliseconds generation_max{0};  // what connections outlive their successor's start by; 0: no end
  // How this process was started, for whoever starts its successor: the words after the program's
  // name, secrets included, never logged; and the YAML file among them, absolute.
  std::vector<std::string> arguments;
  milliseconds max_stale{0};  // roots, intentions, endpoints: how old they may be used; 0: no limit
  bool allow_core = false;    // a core dump would hold the private key
  ConfineSettings confine;

  LogLevel log_level = LogLevel::kInfo;
  bool log_json = false;

  AccessLogSettings access_log;

  StopAfter stop_after;
  milliseconds start_wait{15'000};  // early connections, for what is not known yet
  milliseconds drain_delay{1'000};  // how long to accept at least once out of the catalog
  milliseconds drain_time{30'000};  // for the answers that are owed, from the signal to stop
  // a connection that is silent so long between exchanges is idle; 0: none is
  milliseconds drain_quiet{200};
  unsigned workers = 1;

  // By number of connections (data/caps.h); absent: no limit.
  std::optional<unsigned> max_total_connections;  // of both directions
  // Of one address to the public listeners: connections a second, and at once.
  std::optional<unsigned> rate_per_address;
  std::optional<unsigned> burst_per_address;  // absent: as rate_per_address

  // What connections may hold (data/limits.h). Absent: made of memory_limit, and that of the
  // control group's or the machine's.
  std::optional<std::size_t> memory_limit;      // bytes, of the whole process
  std::optional<unsigned> max_handshakes;       // under way, on the public listeners
  std::optional<std::size_t> handshake_memory;  // bytes
  std::optional<std::size_t> buffer_memory;     // bytes

  bool reload_on_change = false;  // not on a signal alone
  std::string file;               // the YAML file that they are from, absolute; empty: flags

  std::vector<std::string> warnings;  // said once in the log at start

  // NeedsAgent: something is to come from the agent, for one service at least.
  bool NeedsAgent() const;
};

// kLeastMaxStale: what has not changed is confirmed about once a minute, so less would be no
// outage.
inline constexpr milliseconds kLeastMaxStale{120'000};

// kLeastReportEvery: connections are looked at as often as that (net::kLivenessCheck).
inline constexpr milliseconds kLeastReportEvery{5'000};

// kLeastProbeInterval: endpoints that are ejected are tried as often as that, at most.
inline constexpr milliseconds kLeastProbeInterval{1'000};

// kLeastAgentConnections: configuration, roots, leaf and intentions wait on one each, one upstream
// does, and one is shared.
inline constexpr unsigned kLeastAgentConnections = 6;
// An agent admits 200 from one address by default, for all its clients there.
inline constexpr unsigned kMostAgentConnections = 150;

}  // namespace mooring::config
