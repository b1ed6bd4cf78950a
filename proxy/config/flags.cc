#include "proxy/config/flags.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

#include "authz/text.h"
#include "proxy/config/checks.h"
#include "proxy/config/duration.h"
#include "proxy/config/flag_syntax.h"
#include "proxy/config/log_level.h"
#include "proxy/config/size.h"

namespace mooring::config {
namespace {

// The order is that of the usage text. Defaults named here are those of settings.h.
constexpr std::array kFlags = {
    // Consul's.
    FlagSpec{"sidecar-for", "id",
             "ID of the service instance on the local agent whose sidecar this is: the agent must "
             "hold exactly one proxy registration with that Proxy.DestinationServiceID. Also "
             "CONNECT_SIDECAR_FOR."},
    FlagSpec{"proxy-id", "id",
             "ID of this proxy's own registration on the local agent; wins over -sidecar-for. Also "
             "CONNECT_PROXY_ID."},
    FlagSpec{"service", "name", "Name of the service this proxy represents, configured by flags."},
    FlagSpec{"service-addr", "address",
             "Address of the local service: host:port or unix:/path. Needed with -listen."},
    FlagSpec{"listen", "address",
             "Address of the public listener: [host]:port, every interface without a host. Needs "
             "-service and -service-addr."},
    FlagSpec{"upstream", "name:address",
             "An upstream and where it is mounted: name[.service|.query]:[addr:]port, such as "
             "db:8181. Can be repeated."},
    FlagSpec{"register", "",
             "Register this proxy with the local agent. Needs -service and -listen."},
    FlagSpec{"register-id", "suffix",
             "Suffix of the registered ID, to tell several proxies of one service apart."},
    FlagSpec{"log-level", "level", "TRACE, DEBUG, INFO (the default), WARN or ERR."},
    FlagSpec{"log-json", "", "Log one JSON object a line."},
    FlagSpec{"pprof-addr", "address",
             "Accepted and ignored: there is no pprof here, see -admin-addr."},
    FlagSpec{"http-addr", "address",
             "The agent: host:port, http://host:port, https://host:port or unix:///path, "
             "127.0.0.1:8500 by default. Also CONSUL_HTTP_ADDR."},
    FlagSpec{"token", "token",
             "ACL token. Others can read it in the process list for a moment: -token-file is "
             "better. Also CONSUL_HTTP_TOKEN."},
    FlagSpec{"token-file", "file",
             "File that holds the ACL token, read again when it changes; beats -token. Also "
             "CONSUL_HTTP_TOKEN_FILE."},
    FlagSpec{"ca-file", "file", "Roots for https to the agent, PEM. Also CONSUL_CACERT."},
    FlagSpec{"ca-path", "folder", "Folder of such files. Also CONSUL_CAPATH."},
    FlagSpec{"client-cert", "file",
             "Certificate to show to the agent, PEM. Also CONSUL_CLIENT_CERT."},
    FlagSpec{"client-key", "file", "Its private key. Also CONSUL_CLIENT_KEY."},
    FlagSpec{"tls-server-name", "name",
             "Name that the agent's certificate must hold, instead of the host's. Also "
             "CONSUL_TLS_SERVER_NAME."},
    FlagSpec{"datacenter", "name",
             "Accepted; the agent's own datacenter is used. State of another one is not loaded."},
    FlagSpec{"stale", "", "Let any Consul server answer, not the leader alone."},
    FlagSpec{"namespace", "name", "Namespace (Consul Enterprise). Also CONSUL_NAMESPACE."},
    FlagSpec{"partition", "name", "Admin partition (Consul Enterprise). Also CONSUL_PARTITION."},
    // Ours.
    FlagSpec{"no-wait", "",
             "With -sidecar-for: end at once if the agent does not answer or holds no such "
             "registration, as Consul's proxy does, instead of waiting."},
    FlagSpec{"advertise", "host",
             "With -register: the host to register, instead of one found on this machine."},
    FlagSpec{"admin-addr", "address",
             "Serve /ready, /live and /status here. Without it there is no admin port."},
    FlagSpec{"state-dir", "folder",
             "Keep the agent's last good answers here (mode 0700), the private key among them, so "
             "that a restart serves while the agent is away; $STATE_DIRECTORY by default."},
    FlagSpec{"cache-private-key", "",
             "On by default. -cache-private-key=false keeps the key out of -state-dir: a restart "
             "then serves only once the agent answers."},
    FlagSpec{"max-stale", "duration",
             "Longest time to go by roots, intentions and endpoints that the agent has not "
             "confirmed, 2m or more; 0, the default, has no limit."},
    FlagSpec{"max-answer-size", "size",
             "Largest answer to take from the agent, such as 8MiB; 64MiB by default."},
    FlagSpec{"max-agent-connections", "number",
             "Most connections to the agent at a time, 8 by default. With more, more upstreams are watched by a blocking "
             "query; an agent admits 200 of one address."},
    FlagSpec{"on-revoke", "policy",
             "Live connections that intentions, default or roots come to forbid: close (the "
             "default) or keep."},
    FlagSpec{"revoke-grace", "duration",
             "With -on-revoke close: how long such connections may go on, 0s by default."},
    FlagSpec{"max-connection-age", "duration",
             "Cut every connection at this age; 0, the default, never."},
    FlagSpec{"tls-resumption", "policy",
             "TLS sessions resume by tickets: on (the default), or off, for full handshakes only, as client and as server."},
    FlagSpec{"allow-core", "",
             "Let the process be dumped and traced by its user; a core file holds the private key."},
    FlagSpec{"handshake-timeout", "duration",
             "Longest TLS handshake of an accepted connection, 10s by default."},
    FlagSpec{
        "connect-timeout", "duration",
        "Deadline for connecting to an upstream, TLS and every attempt together, 5s by default."},
    FlagSpec{"local-connect-timeout", "duration",
             "Deadline for connecting to the local service, 1s by default."},
    FlagSpec{"idle-timeout", "duration",
             "End a connection after this long without a byte either way; 0, the default, never."},
    FlagSpec{"drain-delay", "duration",
             "How long to go on accepting at least, out of the catalog, after the signal to stop, 1s by default."},
    FlagSpec{"drain-time", "duration",
             "How long the answers that are owed may take after the signal to stop, 30s by default."},
    FlagSpec{"drain-quiet", "duration",
             "After the signal to stop, a connection that has been silent this long between two exchanges is "
             "closed, 200ms by default; 0 never."},
    FlagSpec{"workers", "number", "Threads that carry connections, 1 by default."},
    FlagSpec{"memory-limit", "size",
             "What the process may use, such as 64MiB; by default its control group's limit, or else a quarter of the "
             "machine's memory. Divided between connections, handshakes and buffers."},
    FlagSpec{"max-handshakes", "number",
             "Handshakes of callers under way at once; beyond it the oldest ends. By default from -memory-limit."},
    FlagSpec{"handshake-memory", "size", "What they may hold together. By default a part of -memory-limit."},
    FlagSpec{"buffer-memory", "size",
             "Bytes read and not yet taken; above it reading waits. By default a part of -memory-limit."},
};

constexpr std::string_view kPreparing = "Error preparing configuration: ";

Error Preparing(const std::string& why) { return Invalid(std::string(kPreparing) + why); }

Error BadValue(std::string_view flag, std::string_view value, const std::string& why) {
  return Invalid("invalid value \"" + authz::Shortened(value) + "\" for flag -" +
                 std::string(flag) + ": " + why);
}

// CommandLine answers what a flag was set to. Of one given several times the last counts.
class CommandLine final {
 public:
  explicit CommandLine(std::vector<GivenFlag> flags) : flags_(std::move(flags)) {}

  std::optional<std::string> Find(std::string_view name) const {
    const auto found = std::find_if(flags_.rbegin(), flags_.rend(),
                                    [name](const GivenFlag& flag) { return flag.name == name; });
    if (found == flags_.rend()) return std::nullopt;
    return found->value;
  }
  // Text is empty for a flag not given: Consul tells the two apart nowhere but against the
  // environment.
  std::string Text(std::string_view name) const { return Find(name).value_or(""); }
  bool On(std::string_view name) const { return Text(name) == "true"; }
  const std::vector<GivenFlag>& all() const { return flags_; }

 private:
  std::vector<GivenFlag> flags_;
};

// ReadUpstreams keeps Consul's rule that a second -upstream of a name replaces the first.
Status ReadUpstreams(const CommandLine& line, Settings* settings) {
  ServiceSettings* const service = &settings->services.front();
  for (const GivenFlag& flag : line.all()) {
    if (flag.name != "upstream") continue;
    Result<UpstreamSettings> upstream = ParseUpstreamFlag(flag.value);
    if (!upstream) return BadValue("upstream", flag.value, upstream.error().message);
    const auto same = std::find_if(
        service->upstreams.begin(), service->upstreams.end(),
        [&upstream](const UpstreamSettings& other) { return other.name == upstream->name; });
    if (same == service->upstreams.end()) {
      service->upstreams.push_back(*std::move(upstream));
      continue;
    }
    settings->warnings.push_back("-upstream " + upstream->name + " is given more than once: " +
                                 upstream->listen.Text() + " replaces " + same->listen.Text());
    *same = *std::move(upstream);
  }
  return Ok();
}

Status ReadDurations(const CommandLine& line, Settings* settings) {
  ServiceSettings* const service = &settings->services.front();
  struct Target {
    std::string_view flag;
    milliseconds* value;
    bool zero_allowed;
  };
  const std::array<Target, 10> targets{{
      {"max-stale", &settings->max_stale, true},
      {"revoke-grace", &service->revoke_grace, true},
      {"max-connection-age", &service->max_connection_age, true},
      {"handshake-timeout", &service->handshake_timeout, false},
      {"connect-timeout", &service->connect_timeout, false},
      {"local-connect-timeout", &service->local_connect_timeout, false},
      {"idle-timeout", &service->idle_timeout, true},
      {"drain-delay", &settings->drain_delay, true},
      {"drain-time", &settings->drain_time, true},
      {"drain-quiet", &settings->drain_quiet, true},
  }};
  for (const Target& target : targets) {
    const std::optional<std::string> text = line.Find(target.flag);
    if (!text) continue;
    const Result<milliseconds> duration = ParseDuration(*text);
    if (!duration) return BadValue(target.flag, *text, duration.error().message);
    if (duration->count() == 0 && !target.zero_allowed) {
      return BadValue(target.flag, *text, "it must be longer than 0");
    }
    *target.value = *duration;
  }
  return Ok();
}

// ReadState reads what is kept through an outage, and what a change does to live connections.
Status ReadState(const CommandLine& line, const Environment& environment, Settings* settings) {
  ServiceSettings* const service = &settings->services.front();
  if (const Status status = CheckMaxStale(settings->max_stale); !status) {
    return BadValue("max-stale", line.Text("max-stale"), status.error().message);
  }
  if (const std::optional<std::string> folder = line.Find("state-dir")) {
    settings->state_dir = *folder;
  } else {
    StateDirFromEnvironment(environment, settings);
  }
  settings->cache_private_key = line.Text("cache-private-key") != "false";
  settings->allow_core = line.On("allow-core");
  if (const std::optional<std::string> text = line.Find("on-revoke")) {
    const Result<OnRevoke> policy = ParseOnRevoke(*text);
    if (!policy) return BadValue("on-revoke", *text, policy.error().message);
    service->on_revoke = *policy;
  }
  if (const std::optional<std::string> text = line.Find("tls-resumption")) {
    const Result<bool> on = ParseOnOff(*text);
    if (!on) return BadValue("tls-resumption", *text, on.error().message);
    service->tls_resumption = *on;
  }
  if (const std::optional<std::string> text = line.Find("max-answer-size")) {
    const Result<std::size_t> size = ParseSize(*text);
    if (!size) return BadValue("max-answer-size", *text, size.error().message);
    settings->agent.max_answer_size = *size;
  }
  if (const std::optional<std::string> text = line.Find("max-agent-connections")) {
    unsigned& most = settings->agent.max_connections;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), most);
    if (error != std::errc{} || end != text->data() + text->size() || most < kLeastAgentConnections ||
        most > kMostAgentConnections) {
      return BadValue("max-agent-connections", *text,
                      "write a number from " + std::to_string(kLeastAgentConnections) + " to " +
                          std::to_string(kMostAgentConnections));
    }
  }
  return Ok();
}

// ReadNumber reads a whole number of that range.
Result<unsigned> ReadNumber(std::string_view flag, const std::string& text, unsigned most) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number == 0 || number > most) {
    return BadValue(flag, text, "write a number from 1 to " + std::to_string(most));
  }
  return number;
}

Status ReadLimits(const CommandLine& line, Settings* settings) {
  struct Target {
    std::string_view flag;
    std::optional<std::size_t>* value;
    SizeRange range;
  };
  const std::array<Target, 3> targets{{{"memory-limit", &settings->memory_limit, kMemoryLimitRange},
                                       {"handshake-memory", &settings->handshake_memory, kMemoryPartRange},
                                       {"buffer-memory", &settings->buffer_memory, kMemoryPartRange}}};
  for (const Target& target : targets) {
    const std::optional<std::string> text = line.Find(target.flag);
    if (!text) continue;
    const Result<std::size_t> size = ParseSize(*text, target.range);
    if (!size) return BadValue(target.flag, *text, size.error().message);
    *target.value = *size;
  }
  if (const std::optional<std::string> text = line.Find("max-handshakes")) {
    const Result<unsigned> number = ReadNumber("max-handshakes", *text, kMostHandshakes);
    if (!number) return number.error();
    settings->max_handshakes = *number;
  }
  return Ok();
}

// ReadProcess reads what concerns the process and not the mesh.
Status ReadProcess(const CommandLine& line, Settings* settings) {
  if (const Status status = ReadDurations(line, settings); !status) return status;
  if (const std::optional<std::string> text = line.Find("workers")) {
    const Result<unsigned> workers = ReadNumber("workers", *text, kMaxWorkers);
    if (!workers) return workers.error();
    settings->workers = *workers;
  }
  if (const Status status = ReadLimits(line, settings); !status) return status;
  if (const std::string text = line.Text("admin-addr"); !text.empty()) {
    Result<net::Address> address = net::ParseAddress(text);
    if (!address) return BadValue("admin-addr", text, address.error().message);
    settings->admin = *std::move(address);
  }
  if (!line.Text("pprof-addr").empty()) {
    settings->warnings.push_back(
        "-pprof-addr is ignored: there is no pprof here; -admin-addr serves /ready, /live and "
        "/status");
  }
  return Ok();
}

Status ReadAgent(const CommandLine& line, const Environment& environment, Settings* settings) {
  AgentSettings& agent = settings->agent;
  agent = AgentFromEnvironment(environment, &settings->warnings);
  struct Target {
    std::string_view flag;
    std::string* value;
  };
  const std::array<Target, 9> targets{{
      {"token", &agent.token},
      {"token-file", &agent.token_file},
      {"ca-file", &agent.tls.ca_file},
      {"ca-path", &agent.tls.ca_path},
      {"client-cert", &agent.tls.client_cert},
      {"client-key", &agent.tls.client_key},
      {"tls-server-name", &agent.tls_server_name},
      {"namespace", &agent.ns},
      {"partition", &agent.partition},
  }};
  for (const Target& target : targets) {
    // An empty flag beats the environment too, as in Consul.
    if (std::optional<std::string> text = line.Find(target.flag)) *target.value = *std::move(text);
  }
  agent.stale = line.On("stale");

  const std::optional<std::string> flag = line.Find("http-addr");
  const std::string address = flag ? *flag : EnvironmentValue(environment, "CONSUL_HTTP_ADDR");
  if (!address.empty()) {
    if (const Status status = ParseAgentAddress(address, &agent); !status) {
      return Invalid("Error connecting to Consul agent: " + status.error().message + " (" +
                     (flag ? "-http-addr" : "CONSUL_HTTP_ADDR") + ")");
    }
  }
  if (const Status status = CheckAgent(agent); !status) {
    return Invalid("Error connecting to Consul agent: " + status.error().message);
  }
  if (!line.Text("datacenter").empty()) {
    settings->datacenter = line.Text("datacenter");
    settings->warnings.push_back(
        "-datacenter is ignored: certificates and intentions come from the agent's own datacenter; "
        "an upstream elsewhere is configured in the registration or in YAML, as datacenter");
  }
  return Ok();
}

// IgnoreServiceFlags is for a proxy whose configuration the agent holds.
void IgnoreServiceFlags(const CommandLine& line, std::string_view because, Settings* settings) {
  ServiceSettings* const service = &settings->services.front();
  constexpr std::array<std::string_view, 7> kIgnored{
      "service", "service-addr", "listen", "upstream", "register", "register-id", "advertise"};
  std::string given;
  for (const std::string_view name : kIgnored) {
    const std::optional<std::string> value = line.Find(name);
    if (!value || value->empty() || value == "false") continue;
    given += (given.empty() ? "-" : ", -") + std::string(name);
  }
  if (!given.empty()) {
    settings->warnings.push_back("ignored, since " + std::string(because) +
                                 " takes the configuration from the agent: " + given);
  }
  service->upstreams.clear();
}

Status ReadRegistration(const CommandLine& line, Settings* settings) {
  ServiceSettings* const service = &settings->services.front();
  service->register_self = line.On("register");
  service->register_id = line.Text("register-id");
  const std::string advertise = line.Text("advertise");
  if (!service->register_self) {
    if (!service->register_id.empty()) {
      service->register_id.clear();
      settings->warnings.push_back("-register-id is ignored without -register");
    }
    if (!advertise.empty()) return Preparing("-advertise may only be specified with -register");
    return Ok();
  }
  if (!service->register_id.empty() && !authz::IsPathSegment(service->register_id)) {
    return Preparing("-register-id: \"" + authz::Shortened(service->register_id) +
                     "\" holds more than letters, digits, '.', '-' and '_'");
  }
  if (service->public_listen->kind == net::Address::Kind::kUnix) {
    return Preparing("-register needs a -listen of host:port: nobody can dial " +
                     service->public_listen->Text() + " from elsewhere");
  }
  if (!advertise.empty()) {
    Result<std::string> host = ParseAdvertise(advertise);
    if (!host) return Preparing("-advertise: " + host.error().message);
    service->advertise = *std::move(host);
  }
  return Ok();
}

Status ReadListener(const CommandLine& line, Settings* settings) {
  ServiceSettings* const service = &settings->services.front();
  const std::string listen = line.Text("listen");
  const std::string app = line.Text("service-addr");
  if (listen.empty()) {
    if (!app.empty()) {
      settings->warnings.push_back("-service-addr is ignored without -listen");
    }
    if (service->upstreams.empty()) {
      settings->warnings.push_back(
          "nothing to do: neither -listen nor -upstream is given with -service");
    }
    return Ok();
  }
  if (app.empty()) {
    return Preparing(
        "-service-addr must be specified with -listen so the proxy knows the backend service "
        "address.");
  }
  Result<net::Address> listen_address = net::ParseAddress(listen, "0.0.0.0");
  if (!listen_address) return Preparing("-listen: " + listen_address.error().message);
  service->public_listen = *std::move(listen_address);

  Result<net::Address> app_address = net::ParseAddress(app, "127.0.0.1");
  if (!app_address) return Preparing("-service-addr: " + app_address.error().message);
  if (const Status status = CheckDialled(*app_address); !status) {
    return Preparing("-service-addr: " + status.error().message);
  }
  service->local_app = *std::move(app_address);
  return Ok();
}

// CheckOverlaps names the two flags that want one port, before the kernel refuses the second.
Status CheckOverlaps(const Settings& settings) {
  const ServiceSettings& service = settings.services.front();
  struct Listener {
    std::string flag;
    const net::Address* address;
  };
  std::vector<Listener> listeners;
  if (service.public_listen) listeners.push_back({"-listen", &*service.public_listen});
  if (settings.admin) listeners.push_back({"-admin-addr", &*settings.admin});
  for (const UpstreamSettings& upstream : service.upstreams) {
    listeners.push_back({"-upstream " + upstream.name, &upstream.listen});
  }
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (!Overlap(*listeners[i].address, *listeners[j].address)) continue;
      return Preparing(listeners[j].flag + " and " + listeners[i].flag +
                       " both want to listen on " + listeners[i].address->Text() +
                       "; give one of them another port");
    }
  }
  return Ok();
}

Status ReadWho(const CommandLine& line, const Environment& environment, Settings* settings) {
  ServiceSettings* const service = &settings->services.front();
  const auto flag_or_variable = [&](std::string_view flag, const std::string& variable) {
    const std::string text = line.Text(flag);
    return text.empty() ? EnvironmentValue(environment, variable) : text;
  };
  service->proxy_id = flag_or_variable("proxy-id", "CONNECT_PROXY_ID");
  service->sidecar_for = flag_or_variable("sidecar-for", "CONNECT_SIDECAR_FOR");
  service->service = line.Text("service");
  settings->wait_for_agent = !line.On("no-wait");

  const bool agent_mode = !service->proxy_id.empty() || !service->sidecar_for.empty();
  const bool registration = line.On("register");
  if (!agent_mode && service->service.empty()) {
    return Preparing(
        "-service or -proxy-id must be specified so that proxy can configure itself. "
        "(-sidecar-for, CONNECT_PROXY_ID and CONNECT_SIDECAR_FOR do too)");
  }
  if (!settings->wait_for_agent && (!service->proxy_id.empty() || service->sidecar_for.empty())) {
    settings->wait_for_agent = true;
    settings->warnings.push_back("-no-wait is ignored: it belongs to -sidecar-for");
  }
  const auto check_registration = [&]() -> Status {
    if (!registration || (!service->service.empty() && !line.Text("listen").empty())) return Ok();
    return Invalid(
        "Failed initializing registration: -register may only be specified with -service and "
        "-listen");
  };

  if (agent_mode) {
    if (const Status status = check_registration(); !status) return status;
    const bool by_proxy_id = !service->proxy_id.empty();
    if (by_proxy_id && !service->sidecar_for.empty()) {
      settings->warnings.push_back("-sidecar-for " + authz::Shortened(service->sidecar_for) +
                                   " is ignored: -proxy-id " +
                                   authz::Shortened(service->proxy_id) + " wins over it");
      service->sidecar_for.clear();
    }
    const bool from_flag = !line.Text(by_proxy_id ? "proxy-id" : "sidecar-for").empty();
    const std::string_view because = by_proxy_id ? (from_flag ? "-proxy-id" : "CONNECT_PROXY_ID")
                                     : from_flag ? "-sidecar-for"
                                                 : "CONNECT_SIDECAR_FOR";
    IgnoreServiceFlags(line, because, settings);
    service->service.clear();
    return Ok();
  }

  if (!authz::IsPathSegment(service->service)) {
    return Preparing("-service: \"" + authz::Shortened(service->service) +
                     "\" holds more than letters, digits, '.', '-' and '_'");
  }
  if (const Status status = ReadListener(line, settings); !status) return status;
  if (const Status status = check_registration(); !status) return status;
  return ReadRegistration(line, settings);
}

Result<UpstreamSettings> NamedUpstream(std::string_view name, const std::string& text) {
  UpstreamSettings upstream;
  if (const std::size_t dot = name.rfind('.'); dot != std::string_view::npos) {
    const std::string_view type = name.substr(dot + 1);
    if (type == "query") {
      upstream.type = authz::UpstreamType::kPreparedQuery;
    } else if (!type.empty() && type != "service") {
      return Invalid("Upstream type must be blank, 'service', or 'query'. Got: \"" +
                     authz::Shortened(type) + "\"");
    }
    name = name.substr(0, dot);
  }
  if (name.empty()) return Invalid("Upstream value has no name before the colon");
  if (!authz::IsPathSegment(name)) {
    return Invalid("the name in \"" + authz::Shortened(text) +
                   "\" holds more than letters, digits, '.', '-' and '_'");
  }
  upstream.name = std::string(name);
  return upstream;
}

}  // namespace

Result<UpstreamSettings> ParseUpstreamFlag(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) {
    return Invalid("Upstream value should be name:addr in \"" + authz::Shortened(text) + "\"");
  }
  const std::string_view whole = text;
  Result<UpstreamSettings> upstream = NamedUpstream(whole.substr(0, colon), text);
  if (!upstream) return upstream;

  std::string listen(whole.substr(colon + 1));
  if (listen.find(':') == std::string::npos) listen.insert(0, 1, ':');  // a port alone
  Result<net::Address> address = net::ParseAddress(listen, "127.0.0.1");
  if (!address) return address.error();
  upstream->listen = *std::move(address);
  return upstream;
}

Result<ParsedFlags> ParseConnectProxy(const std::vector<std::string>& arguments,
                                      const Environment& environment) {
  Result<ScannedFlags> scanned = ScanFlags(arguments, kFlags);
  if (!scanned) return scanned.error();
  ParsedFlags parsed;
  if (scanned->help) {
    parsed.help = true;
    return parsed;
  }
  for (const GivenFlag& flag : scanned->flags) {
    if (flag.name == "token") parsed.secret_arguments.push_back(flag.argument);
  }
  const std::optional<Error> rest = std::move(scanned->rest);
  const CommandLine line(std::move(scanned->flags));

  // In the order in which Consul finds fault, so that the same mistake gives the same message.
  Settings& settings = parsed.settings;
  settings.services.emplace_back();
  if (const Status status = ReadUpstreams(line, &settings); !status) return status.error();
  if (const Status status = ReadProcess(line, &settings); !status) return status.error();
  if (rest) return *rest;
  settings.log_json = line.On("log-json");
  if (const std::optional<std::string> text = line.Find("log-level")) {
    const Result<LogLevel> level = ParseLogLevel(*text);
    if (!level) return level.error();
    settings.log_level = *level;
  }
  if (const Status status = ReadAgent(line, environment, &settings); !status) {
    return status.error();
  }
  if (const Status status = ReadState(line, environment, &settings); !status) {
    return status.error();
  }
  if (const Status status = ReadWho(line, environment, &settings); !status) return status.error();
  if (const Status status = CheckOverlaps(settings); !status) return status.error();
  WarnOfExposure(&settings);
  return parsed;
}

std::string ConnectProxyUsage() {
  return "Usage: mooring connect proxy [options]\n\n"
         "  Runs a sidecar of a Consul service mesh until it is told to stop. One of -service,\n"
         "  -sidecar-for and -proxy-id is needed.\n\n"
         "    $ mooring connect proxy -service web -upstream db:8181\n"
         "    $ mooring connect proxy -service web -service-addr 127.0.0.1:8080 -listen :8443\n"
         "    $ mooring connect proxy -sidecar-for web-1\n\n"
         "  Durations are written 500ms, 5s or 1m30s.\n\n" +
         UsageOf(kFlags);
}

}  // namespace mooring::config
