#include "proxy/config/table.h"

#include <algorithm>
#include <cstddef>

#include "proxy/config/checks.h"
#include "proxy/config/log_level.h"

namespace mooring::config {
namespace {

using kind::Zero;

// Sizes of parts: at least what one connection's buffers take.
constexpr SizeRange kMemoryLimit{std::size_t{32} << 20, std::size_t{1} << 40};
constexpr SizeRange kMemoryPart{std::size_t{1} << 20, std::size_t{1} << 40};
constexpr unsigned kMostWorkers = 256;
constexpr unsigned kMostHandshakes = 1'000'000;

constexpr kind::Word<LogLevel> kLogLevel{&Settings::log_level, ParseLogLevel, LogLevelText, "level"};
constexpr kind::Word<OnRevoke> kOnRevoke{&ServiceSettings::on_revoke, ParseOnRevoke, OnRevokeText, "policy"};
constexpr kind::Word<bool> kResumption{&ServiceSettings::tls_resumption, ParseOnOff, OnOffText, "policy"};
constexpr kind::Word<bool> kUpstreamResumption{&UpstreamSettings::tls_resumption, ParseOnOff, OnOffText, "policy"};
constexpr kind::Word<std::string> kAdvertise{&ServiceSettings::advertise, ParseAdvertise, [](const std::string& host) { return host; },
                                             "host"};

// clang-format off
constexpr Setting kTable[] = {
    {.begins = "Which service",
     .key = "service",
     .value = kind::Name{&ServiceSettings::service},
     .flag = "service",
     .of = Of::kService,
     .consul = true,
     .shown = Shown::kInForce,
     .sample = "payment",
     .says = "The service whose sidecar this is. It needs {listen}, {upstream} or both."},
    {.key = "proxy_id",
     .value = kind::Text{&ServiceSettings::proxy_id, "id"},
     .flag = "proxy-id",
     .variable = "CONNECT_PROXY_ID",
     .of = Of::kService,
     .consul = true,
     .shown = Shown::kAlternative,
     .sample = "payment-1-sidecar-proxy",
     .says = "the ID of this proxy's registration: listener and upstreams then come from the agent.",
     .flag_says = "Several of them are several services in one process."},
    {.key = "sidecar_for",
     .value = kind::Text{&ServiceSettings::sidecar_for, "id"},
     .flag = "sidecar-for",
     .variable = "CONNECT_SIDECAR_FOR",
     .of = Of::kService,
     .consul = true,
     .shown = Shown::kAlternative,
     .sample = "payment-1",
     .says = "the ID of the service instance whose one sidecar registration the agent holds.",
     .flag_says = "Several of them are several services in one process."},
    {.key = "no_wait",
     .value = kind::Special{""},
     .flag = "no-wait",
     .shown = Shown::kAlternative,
     .sample = "false",
     .says = "With {sidecar-for}: end at once, instead of waiting, if the agent does not answer or has no such registration."},
    {.key = "services",
     .value = kind::List{},
     .shown = Shown::kAlternative,
     .says = "several services in one process: a list of what this file says of one. Of what stands at top level, timeouts, "
             "on_revoke, tls_resumption and the like are then the default of each."},
    {.in = In::kServices,
     .key = "token_file",
     .value = kind::File{&ServiceSettings::token_file},
     .of = Of::kService,
     .shown = Shown::kAlternative,
     .sample = "/etc/mooring/payment.token",
     .says = "File with an ACL token of this service alone, read again when it changes. Without it: the agent's token."},
    {.in = In::kServices,
     .key = "token",
     .value = kind::Text{&ServiceSettings::token, "token"},
     .of = Of::kService,
     .secret = true,
     .shown = Shown::kAlternative,
     .sample = "00000000-0000-0000-0000-000000000000",
     .says = "the token itself."},

    {.begins = "Certificates from files",
     .key = "identity",
     .of = Of::kService,
     .held = true,
     .says = "Leaf certificate, key and roots as PEM files, taken up again as a matching set. Without it: from the agent."},
    {.in = In::kIdentity,
     .key = "certificate",
     .value = kind::File{&FileIdentity::certificate},
     .of = Of::kService,
     .sample = "leaf.pem",
     .says = "The leaf certificate, followed by its intermediates."},
    {.in = In::kIdentity,
     .key = "private_key",
     .value = kind::File{&FileIdentity::private_key},
     .of = Of::kService,
     .sample = "leaf.key",
     .says = "Its private key."},
    {.in = In::kIdentity,
     .key = "roots",
     .value = kind::File{&FileIdentity::roots},
     .of = Of::kService,
     .sample = "roots.pem",
     .says = "The certificates that peers must chain to."},

    {.begins = "The public listener",
     .key = "public_listener",
     .of = Of::kEachService,
     .shown = Shown::kInForce,
     .says = "Who calls the service from the mesh. Without it nobody can."},
    {.in = In::kPublicListener,
     .key = "address",
     .value = kind::Address{.place = &ServiceSettings::public_listen, .flag_host = "0.0.0.0"},
     .flag = "listen",
     .of = Of::kService,
     .change = Change::kRunning,
     .consul = true,
     .held = true,
     .shown = Shown::kInForce,
     .sample = "0.0.0.0:8443",
     .says = "Where callers connect, by mutual TLS.",
     .flag_says = "Needs -service and -service-addr."},
    {.in = In::kPublicListener,
     .key = "socket_mode",
     .value = kind::Special{"mode"},
     .of = Of::kService,
     .held = true,
     .shown = Shown::kAlternative,
     .sample = "\"0600\"",
     .says = "Permission bits of the socket, where address is unix:/path."},
    {.in = In::kPublicListener,
     .key = "local_app",
     .value = kind::Address{.place = &ServiceSettings::local_app, .flag_host = "127.0.0.1", .dialled = true},
     .flag = "service-addr",
     .of = Of::kService,
     .change = Change::kRunning,
     .consul = true,
     .held = true,
     .shown = Shown::kInForce,
     .sample = "127.0.0.1:9090",
     .says = "The service itself, in clear text: host:port or unix:/path."},
    {.in = In::kPublicListener,
     .key = "handshake_timeout",
     .value = kind::Duration{&ServiceSettings::handshake_timeout, Zero::kRefused},
     .flag = "handshake-timeout",
     .config_key = "handshake_timeout_ms",
     .of = Of::kEachService,
     .change = Change::kRunning,
     .says = "Longest TLS handshake of a caller."},
    {.in = In::kPublicListener,
     .key = "local_connect_timeout",
     .value = kind::Duration{&ServiceSettings::local_connect_timeout, Zero::kRefused},
     .flag = "local-connect-timeout",
     .config_key = "local_connect_timeout_ms",
     .of = Of::kEachService,
     .change = Change::kRunning,
     .says = "Deadline for connecting to the service itself."},

    {.in = In::kPublicListener,
     .value = kind::Duration{&ServiceSettings::local_idle_timeout, Zero::kAllowed},
     .config_key = "local_idle_timeout_ms",
     .of = Of::kService,
     .change = Change::kRunning,
     .held = true,
     .says = "As {idle-timeout}, for callers alone."},

    {.begins = "Who may call",
     .key = "intentions",
     .of = Of::kService,
     .held = true,
     .says = "Who may call. Without it: Consul's intentions, from the agent."},
    {.in = In::kIntentions,
     .key = "default",
     .value = kind::Special{"action"},
     .of = Of::kService,
     .sample = "deny",
     .says = "What holds for a caller that no rule names: allow or deny."},
    {.in = In::kIntentions,
     .key = "rules",
     .value = kind::Special{"rules"},
     .of = Of::kService,
     .sample = "[{source: api, action: allow}]",
     .says = "A rule that names the caller goes before the rule for '*'. source is a service's name or '*', action is allow or deny."},

    {.begins = "Upstreams",
     .key = "upstreams",
     .value = kind::List{"name:address"},
     .flag = "upstream",
     .of = Of::kService,
     .change = Change::kRunning,
     .consul = true,
     .held = true,
     .shown = Shown::kInForce,
     .says = "The services that this one calls, each mounted on an address of its own.",
     .flag_says = "Each is name[.service|.query]:[addr:]port, such as db:8181. Can be repeated."},
    {.in = In::kUpstreams,
     .key = "service",
     .value = kind::Name{&UpstreamSettings::name},
     .of = Of::kService,
     .shown = Shown::kInForce,
     .sample = "facebox",
     .says = "The service's name."},
    {.in = In::kUpstreams,
     .key = "query",
     .value = kind::Name{&UpstreamSettings::name},
     .of = Of::kService,
     .shown = Shown::kAlternative,
     .sample = "facebox-nearest",
     .says = "the name of a prepared query."},
    {.in = In::kUpstreams,
     .key = "listen",
     .value = kind::Address{.place = &UpstreamSettings::listen},
     .of = Of::kService,
     .shown = Shown::kInForce,
     .sample = "127.0.0.1:8002",
     .says = "Where the service finds it, in clear text: whoever reaches this address calls in its name."},
    {.in = In::kUpstreams,
     .key = "socket_mode",
     .value = kind::Special{"mode"},
     .of = Of::kService,
     .shown = Shown::kAlternative,
     .sample = "\"0600\"",
     .says = "Permission bits of the socket, where listen is unix:/path."},
    {.in = In::kUpstreams,
     .key = "datacenter",
     .value = kind::Name{&UpstreamSettings::datacenter},
     .of = Of::kService,
     .sample = "dc1",
     .says = "The datacenter to look in. Without it: our own."},
    {.in = In::kUpstreams,
     .key = "endpoints",
     .value = kind::Special{"addresses"},
     .of = Of::kService,
     .sample = "[10.0.0.7:8443]",
     .says = "Where its sidecars are. Without it: the healthy instances that the agent knows."},
    {.in = In::kUpstreams,
     .key = "spiffe_id",
     .value = kind::Special{"SPIFFE ID"},
     .of = Of::kService,
     .sample = "spiffe://11111111-2222-3333-4444-555555555555.consul/ns/default/dc/dc1/svc/facebox",
     .says = "The identity it must prove. Without it: this name in our own trust domain and namespace."},
    {.in = In::kUpstreams,
     .key = "connect_timeout",
     .value = kind::Duration{&UpstreamSettings::connect_timeout, Zero::kRefused},
     .config_key = "connect_timeout_ms",
     .of = Of::kService,
     .change = Change::kRunning,
     .sample = "5s",
     .says = "As connect_timeout below, for this upstream alone. Without it: that one."},
    {.in = In::kUpstreams,
     .key = "idle_timeout",
     .value = kind::Duration{&UpstreamSettings::idle_timeout, Zero::kAllowed},
     .of = Of::kService,
     .sample = "0",
     .says = "As idle_timeout below, for this upstream alone. Without it: that one."},
    {.in = In::kUpstreams,
     .key = "tls_resumption",
     .value = kUpstreamResumption,
     .config_key = "tls_resumption",
     .of = Of::kService,
     .change = Change::kRunning,
     .sample = "on",
     .says = "As tls_resumption below, for this upstream alone. Without it: that one."},
    {.in = In::kUpstreams,
     .key = "any_case",
     .value = kind::Switch{&UpstreamSettings::any_case},
     .config_key = "any_case",
     .of = Of::kService,
     .change = Change::kRunning,
     .says = "Accept the name as the catalog spells it, in other letter case: whoever may register such a variant can then prove it."},

    {.begins = "The agent",
     .key = "agent",
     .says = "The local Consul agent. What is left out here comes from the CONSUL_* variables of the environment. If identity, "
             "intentions and all endpoints are in this file, no agent is contacted."},
    {.in = In::kAgent,
     .value = kind::Switch{&AgentSettings::https},
     .variable = "CONSUL_HTTP_SSL",
     .says = "Speak https to the agent, whatever its address says."},
    {.in = In::kAgent,
     .key = "address",
     .value = kind::AgentAddress{},
     .flag = "http-addr",
     .variable = "CONSUL_HTTP_ADDR",
     .consul = true,
     .says = "The agent: host:port, http://host:port, https://host:port or unix:///path."},
    {.in = In::kAgent,
     .key = "token_file",
     .value = kind::File{&AgentSettings::token_file},
     .flag = "token-file",
     .variable = "CONSUL_HTTP_TOKEN_FILE",
     .consul = true,
     .sample = "/etc/mooring/token",
     .says = "File with the ACL token, read again when it changes. Without it: no token.",
     .flag_says = "Beats -token."},
    {.in = In::kAgent,
     .key = "token",
     .value = kind::Text{&AgentSettings::token, "token"},
     .flag = "token",
     .variable = "CONSUL_HTTP_TOKEN",
     .consul = true,
     .secret = true,
     .shown = Shown::kAlternative,
     .sample = "00000000-0000-0000-0000-000000000000",
     .says = "the token itself.",
     .flag_says = "Others can read it in the process list for a moment: -token-file is better."},
    {.in = In::kAgent,
     .value = kind::Text{&AgentSettings::basic_auth},
     .variable = "CONSUL_HTTP_AUTH",
     .secret = true,
     .says = "USER:PASSWORD for what stands before the agent, by HTTP's basic authentication."},
    {.in = In::kAgent,
     .key = "ca_file",
     .value = kind::File{&tls::HttpsOptions::ca_file},
     .flag = "ca-file",
     .variable = "CONSUL_CACERT",
     .consul = true,
     .sample = "agent-roots.pem",
     .says = "For https, a PEM file with the roots of the agent's certificate. Without it: those of the system."},
    {.in = In::kAgent,
     .key = "ca_path",
     .value = kind::File{&tls::HttpsOptions::ca_path, "folder"},
     .flag = "ca-path",
     .variable = "CONSUL_CAPATH",
     .consul = true,
     .shown = Shown::kAlternative,
     .sample = "agent-roots",
     .says = "a folder of such files."},
    {.in = In::kAgent,
     .key = "client_cert",
     .value = kind::File{&tls::HttpsOptions::client_cert},
     .flag = "client-cert",
     .variable = "CONSUL_CLIENT_CERT",
     .consul = true,
     .sample = "agent-client.pem",
     .says = "For https, the certificate to show to the agent. Without it: none."},
    {.in = In::kAgent,
     .key = "client_key",
     .value = kind::File{&tls::HttpsOptions::client_key},
     .flag = "client-key",
     .variable = "CONSUL_CLIENT_KEY",
     .consul = true,
     .sample = "agent-client.key",
     .says = "Its private key."},
    {.in = In::kAgent,
     .key = "tls_server_name",
     .value = kind::Text{&AgentSettings::tls_server_name, "name"},
     .flag = "tls-server-name",
     .variable = "CONSUL_TLS_SERVER_NAME",
     .consul = true,
     .sample = "localhost",
     .says = "The name that the agent's certificate must hold. Without it: the address's host."},
    {.in = In::kAgent,
     .key = "namespace",
     .value = kind::Name{&AgentSettings::ns},
     .flag = "namespace",
     .variable = "CONSUL_NAMESPACE",
     .consul = true,
     .sample = "default",
     .says = "Consul Enterprise: the namespace to ask in. Without it: the token's."},
    {.in = In::kAgent,
     .key = "partition",
     .value = kind::Name{&AgentSettings::partition},
     .flag = "partition",
     .variable = "CONSUL_PARTITION",
     .consul = true,
     .sample = "default",
     .says = "Consul Enterprise: the admin partition to ask in. Without it: the agent's."},
    {.in = In::kAgent,
     .value = kind::Name{&Settings::datacenter},
     .flag = "datacenter",
     .consul = true,
     .says = "Accepted; the agent's own datacenter is used. State of another one is not loaded."},
    {.in = In::kAgent,
     .key = "stale",
     .value = kind::Switch{&AgentSettings::stale},
     .flag = "stale",
     .consul = true,
     .says = "Let any Consul server answer, not the leader alone."},
    {.in = In::kAgent,
     .key = "verify",
     .value = kind::Switch{&tls::HttpsOptions::verify},
     .variable = "CONSUL_HTTP_SSL_VERIFY",
     .says = "For https, whether to verify the agent's certificate."},
    {.in = In::kAgent,
     .key = "max_answer_size",
     .value = kind::Size{&AgentSettings::max_answer_size, {}},
     .flag = "max-answer-size",
     .says = "The largest answer to take from the agent."},
    {.in = In::kAgent,
     .key = "max_agent_connections",
     .value = kind::Number{&AgentSettings::max_connections, kLeastAgentConnections, kMostAgentConnections},
     .flag = "max-agent-connections",
     .says = "How many connections to the agent at a time; it admits 200 of one address. Each service after the first adds 3, up to "
             "16. With more of them more upstreams are watched by a blocking query; the others are asked in turn."},

    {.begins = "The admin port",
     .key = "admin",
     .says = "The port for /ready, /live and /status. Without it there is none."},
    {.in = In::kAdmin,
     .key = "address",
     .value = kind::Address{.place = &Settings::admin},
     .flag = "admin-addr",
     .sample = "127.0.0.1:19100",
     .says = "Where /ready, /live and /status are. Anyone who reaches this address may read them."},
    {.in = In::kAdmin,
     .key = "host",
     .value = kind::Text{&Settings::admin_host, "name"},
     .flag = "admin-host",
     .sample = "payment-vm.example",
     .says = "A name by which it may be asked, beside IP addresses and localhost: a web page in a browser on this machine could have "
             "any other name lead here."},
    {.in = In::kAdmin,
     .value = kind::Special{"address"},
     .flag = "pprof-addr",
     .consul = true,
     .says = "Accepted and ignored: there is no pprof here, see {admin-addr}."},

    {.begins = "Registration",
     .key = "register",
     .value = kind::Switch{&ServiceSettings::register_self},
     .flag = "register",
     .of = Of::kService,
     .consul = true,
     .held = true,
     .sample = "true",
     .says = "Register this proxy with the agent, and deregister it at the end.",
     .flag_says = "Needs -service and -listen."},
    {.key = "register_id",
     .value = kind::Name{&ServiceSettings::register_id},
     .flag = "register-id",
     .of = Of::kService,
     .consul = true,
     .held = true,
     .sample = "a1",
     .says = "Ends the registered ID, <service>-proxy-<register_id>. Without it: <service>-proxy."},
    {.key = "advertise",
     .value = kAdvertise,
     .flag = "advertise",
     .of = Of::kService,
     .held = true,
     .sample = "10.0.0.5",
     .says = "With {register}: the host to register. Without it: a routable one found on this machine."},

    {.begins = "What is kept, and what a change does",
     .key = "state_dir",
     .value = kind::File{&Settings::state_dir, "folder", true},
     .flag = "state-dir",
     .variable = "STATE_DIRECTORY",
     .sample = "/var/lib/mooring",
     .says = "A folder (mode 0700) for the agent's last good answers, so that a restart serves while the agent is away. "
             "Without it: the one that systemd makes for StateDirectory= in the unit; without that nothing is kept."},
    {.key = "cache_private_key",
     .value = kind::Switch{&Settings::cache_private_key},
     .flag = "cache-private-key",
     .says = "Keep the private key there, too. false: a restart serves only once the agent answers."},
    {.key = "max_stale",
     .value = kind::Duration{&Settings::max_stale, Zero::kAllowed, CheckMaxStale},
     .flag = "max-stale",
     .says = "How long roots, intentions and endpoints may be used without the agent's confirmation, 2m or more; 0: no limit."},
    {.key = "on_revoke",
     .value = kOnRevoke,
     .flag = "on-revoke",
     .of = Of::kEachService,
     .says = "Live connections that intentions, default or roots come to forbid: close or keep."},
    {.key = "revoke_grace",
     .value = kind::Duration{&ServiceSettings::revoke_grace, Zero::kAllowed},
     .flag = "revoke-grace",
     .of = Of::kEachService,
     .says = "With {on-revoke} close: how long they may go on."},
    {.key = "max_connection_age",
     .value = kind::Duration{&ServiceSettings::max_connection_age, Zero::kAllowed},
     .flag = "max-connection-age",
     .of = Of::kEachService,
     .says = "Cut every connection at this age; 0 is never."},
    {.key = "tls_resumption",
     .value = kResumption,
     .flag = "tls-resumption",
     .of = Of::kEachService,
     .says = "TLS sessions resume by tickets, on or off: a reconnect at half the cost, judged like a new one by us and by Envoy. "
             "off: full handshakes only, as client and as server."},
    {.key = "tls_groups",
     .value = kind::Words{&ServiceSettings::tls_groups, tls::ParseGroups, tls::GroupsText, "names"},
     .flag = "tls-groups",
     .of = Of::kEachService,
     .says = "Groups of the TLS key exchange, most preferred first, of X25519MLKEM768 (hybrid, post-quantum; TLS 1.3 alone), "
             "X25519, P-256 and P-384."},
    {.key = "allow_core",
     .value = kind::Switch{&Settings::allow_core},
     .flag = "allow-core",
     .says = "Let the process be dumped and traced by its user: a core file holds the private key."},

    {.begins = "The log",
     .key = "log_level",
     .value = kLogLevel,
     .flag = "log-level",
     .consul = true,
     .says = "TRACE, DEBUG, INFO, WARN or ERR."},
    {.key = "log_json",
     .value = kind::Switch{&Settings::log_json},
     .flag = "log-json",
     .consul = true,
     .says = "One JSON object a line."},

    {.begins = "Connections and the process",
     .key = "connect_timeout",
     .value = kind::Duration{&ServiceSettings::connect_timeout, Zero::kRefused},
     .flag = "connect-timeout",
     .of = Of::kEachService,
     .says = "Deadline for connecting to an upstream: TCP, TLS and every attempt together."},
    {.key = "idle_timeout",
     .value = kind::Duration{&ServiceSettings::idle_timeout, Zero::kAllowed},
     .flag = "idle-timeout",
     .of = Of::kEachService,
     .says = "End a connection after this long without a byte either way; 0 is never."},
    {.key = "drain_delay",
     .value = kind::Duration{&Settings::drain_delay, Zero::kAllowed},
     .flag = "drain-delay",
     .says = "After the signal to stop, how long to go on accepting at least once this instance is out of the catalog."},
    {.key = "drain_time",
     .value = kind::Duration{&Settings::drain_time, Zero::kAllowed},
     .flag = "drain-time",
     .says = "After the signal to stop, how long the answers that are owed may take. What is left then is cut."},
    {.key = "drain_quiet",
     .value = kind::Duration{&Settings::drain_quiet, Zero::kAllowed},
     .flag = "drain-quiet",
     .says = "After the signal to stop, a connection that has been silent this long between two exchanges is closed; 0 is never."},
    {.key = "workers",
     .value = kind::Number{&Settings::workers, 1, kMostWorkers},
     .flag = "workers",
     .says = "Threads that carry connections. One serves about 1 GB/s; more pay where there are more cores than busy processes, "
             "and cost up to 15 % CPU where there are not (bench/NOTES.md)."},

    {.begins = "Memory",
     .key = "memory_limit",
     .value = kind::Size{&Settings::memory_limit, kMemoryLimit},
     .flag = "memory-limit",
     .sample = "64MiB",
     .says = "What the process may use. Without it: the limit of its control group, or else a quarter of the machine's memory. "
             "It is divided between connections, handshakes and buffers; what does not fit is refused (out_of_resources)."},
    {.key = "max_handshakes",
     .value = kind::Number{&Settings::max_handshakes, 1, kMostHandshakes},
     .flag = "max-handshakes",
     .sample = "400",
     .says = "Handshakes of callers under way at once; beyond it the oldest one ends. Without it: from {memory-limit}."},
    {.key = "handshake_memory",
     .value = kind::Size{&Settings::handshake_memory, kMemoryPart},
     .flag = "handshake-memory",
     .sample = "11MiB",
     .says = "What these may hold together. Without it: a part of {memory-limit}."},
    {.key = "buffer_memory",
     .value = kind::Size{&Settings::buffer_memory, kMemoryPart},
     .flag = "buffer-memory",
     .sample = "11MiB",
     .says = "Bytes read and not yet taken; above it, nothing is read that would have to be kept. Without it: a part of "
             "{memory-limit}."},
};
// clang-format on

std::string Spelt(const Setting& setting, Form form) {
  return form == Form::kFlag ? '-' + std::string(setting.flag) : PathOf(setting);
}

// Expand replaces each {flag}.
std::string Expand(std::string_view text, Form form) {
  std::string out;
  while (!text.empty()) {
    const std::size_t open = text.find('{');
    const std::size_t close = open == std::string_view::npos ? open : text.find('}', open);
    if (close == std::string_view::npos) break;
    out += text.substr(0, open);
    const std::string_view name = text.substr(open + 1, close - open - 1);
    const Setting* setting = FindFlag(name);
    out += setting != nullptr ? Spelt(*setting, form) : std::string(name);
    text.remove_prefix(close + 1);
  }
  return out += text;
}

}  // namespace

std::span<const Setting> Table() { return kTable; }

std::vector<std::string_view> KeysOf(In in) {
  std::vector<std::string_view> keys;
  for (const Setting& setting : kTable) {
    if (setting.in == in && !setting.key.empty()) keys.push_back(setting.key);
  }
  return keys;
}

const Setting* FindKey(In in, std::string_view key) {
  const auto found = std::find_if(std::begin(kTable), std::end(kTable), [&](const Setting& setting) {
    return setting.in == in && setting.key == key && !key.empty();
  });
  return found == std::end(kTable) ? nullptr : found;
}

const Setting* FindFlag(std::string_view flag) {
  const auto found = std::find_if(std::begin(kTable), std::end(kTable),
                                  [&](const Setting& setting) { return setting.flag == flag && !flag.empty(); });
  return found == std::end(kTable) ? nullptr : found;
}

std::string_view SectionName(In in) {
  switch (in) {
    case In::kFile: break;
    case In::kServices: return "services";
    case In::kIdentity: return "identity";
    case In::kPublicListener: return "public_listener";
    case In::kIntentions: return "intentions";
    case In::kUpstreams: return "upstreams";
    case In::kAgent: return "agent";
    case In::kAdmin: return "admin";
  }
  return {};
}

std::string PathOf(const Setting& setting) {
  const std::string section(SectionName(setting.in));
  return (section.empty() ? "" : section + '.') + std::string(setting.key);
}

std::string DefaultOf(const Setting& setting) {
  Settings process;
  ServiceSettings service;
  UpstreamSettings upstream;
  return ShowValue(setting.value, {process, service, &upstream});
}

std::string Sentence(const Setting& setting, Form form) {
  std::string text = Expand(setting.says, form);
  if (form == Form::kFlag && text.front() >= 'a' && text.front() <= 'z') text.front() = static_cast<char>(text.front() - 'a' + 'A');
  if (const std::string range = RangeOf(setting.value); !range.empty()) text += ' ' + range;
  return text;
}

}  // namespace mooring::config
