#include "proxy/config/yaml.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <tuple>
#include <utility>

#include "authz/text.h"
#include "proxy/config/agent.h"
#include "proxy/config/checks.h"
#include "proxy/config/log_level.h"
#include "proxy/config/size.h"
#include "proxy/config/yaml_document.h"
#include "proxy/config/yaml_keys.h"
#include "proxy/config/yaml_mapping.h"

namespace mooring::config {
namespace {

// Consul's precedence of an intention for one destination by name: an exact source before the
// wildcard.
constexpr int kExactPrecedence = 9;
constexpr int kWildcardPrecedence = 8;

constexpr std::string_view kRequired = "is required";

// SchemaReader reads one file's tree into Settings. Each key is read once, since a second read
// would report its mistake again.
class SchemaReader final {
 public:
  SchemaReader(std::string_view base_dir, const Environment& environment, ParsedYaml* parsed)
      : base_dir_(base_dir),
        environment_(environment),
        settings_(parsed->settings),
        service_(settings_.services.emplace_back()),
        problems_(&parsed->problems) {}

  void Read(const YamlNode& root) {
    const YamlMapping file(root, "", kFileKeys, problems_);
    if (!file.IsMapping()) return;
    const std::string_view from_agent = ReadWho(file);
    if (!from_agent.empty()) {
      RefuseAgentHeld(file, from_agent);
      ReadPublicListener(file, from_agent);
    } else {
      RequireWork(file);
      ReadIdentity(file);
      ReadRegistration(file);
      ReadPublicListener(file, from_agent);
      ReadIntentions(file);
      ReadUpstreams(file);
    }
    ReadAdmin(file);
    ReadState(file);
    ReadRevocation(file);
    ReadProcess(file);
    CheckOverlaps();
    ReadAgent(file);
  }

 private:
  struct Listener {
    YamlMapping mapping;
    std::string_view key;
    net::Address address;
  };

  // ReadWho returns the key by which the configuration comes from the agent; empty if it is all
  // here.
  std::string_view ReadWho(const YamlMapping& file) {
    constexpr std::array<std::string_view, 3> kWho{"service", "proxy_id", "sidecar_for"};
    std::vector<std::string_view> given;
    std::copy_if(kWho.begin(), kWho.end(), std::back_inserter(given),
                 [&file](std::string_view key) { return file.Has(key); });
    if (given.empty()) {
      problems_->push_back({0, 0, "one of service, proxy_id and sidecar_for is required"});
    }
    for (std::size_t i = 1; i < given.size(); ++i) {
      file.Report(given[i], "cannot stand beside " + std::string(given[0]) + "; keep one of them");
    }
    service_.service = file.Name("service").value_or("");
    service_.proxy_id = file.Text("proxy_id").value_or("");
    service_.sidecar_for = file.Text("sidecar_for").value_or("");
    settings_.wait_for_agent = !file.Boolean("no_wait").value_or(false);
    if (file.Has("no_wait") && !file.Has("sidecar_for")) {
      file.Report("no_wait", "belongs to sidecar_for, which is not there");
    }
    if (file.Has("service") || given.empty()) return {};
    return given[0];
  }

  void RefuseAgentHeld(const YamlMapping& file, std::string_view from_agent) {
    constexpr std::array<std::string_view, 6> kHeld{"identity", "intentions",  "upstreams",
                                                    "register", "register_id", "advertise"};
    for (const std::string_view key : kHeld) {
      if (file.Has(key)) file.Report(key, HeldByAgent(from_agent));
    }
  }

  static std::string HeldByAgent(std::string_view from_agent) {
    return "cannot stand beside " + std::string(from_agent) +
           ", with which it comes from the agent; leave it out, or use service";
  }

  void RequireWork(const YamlMapping& file) {
    if (file.Has("public_listener") || file.Has("upstreams")) return;
    if (!file.Has("service") || file.Has("proxy_id") || file.Has("sidecar_for")) return;
    file.Report("service", "has nothing to do; one of public_listener and upstreams is required");
  }

  void ReadIdentity(const YamlMapping& file) {
    const std::optional<YamlMapping> identity = file.Mapping("identity", kIdentityKeys);
    if (!identity) return;
    for (const std::string_view key : kIdentityKeys) {
      if (identity->Has(key)) continue;
      identity->Report(key, "is required: certificate, private_key and roots go together");
    }
    service_.identity = FileIdentity{
        .certificate = identity->File("certificate", base_dir_).value_or(""),
        .private_key = identity->File("private_key", base_dir_).value_or(""),
        .roots = identity->File("roots", base_dir_).value_or(""),
    };
  }

  // ReadMode puts socket_mode into the address that it belongs to.
  static void ReadMode(const YamlMapping& mapping, std::optional<net::Address>* address) {
    const std::optional<unsigned> mode = mapping.Mode("socket_mode");
    if (!mapping.Has("socket_mode") || !*address) return;
    if ((*address)->kind != net::Address::Kind::kUnix) {
      mapping.Report("socket_mode", "belongs to an address of unix:/path");
    } else if (mode) {
      (*address)->mode = *mode;
    }
  }

  void ReadPublicListener(const YamlMapping& file, std::string_view from_agent) {
    const std::optional<YamlMapping> listener =
        file.Mapping("public_listener", kPublicListenerKeys);
    if (!listener) return;
    if (const auto timeout = listener->Duration("handshake_timeout", Zero::kRefused)) {
      service_.handshake_timeout = *timeout;
    }
    if (const auto timeout = listener->Duration("local_connect_timeout", Zero::kRefused)) {
      service_.local_connect_timeout = *timeout;
    }
    if (!from_agent.empty()) {
      for (const std::string_view key : {"address", "socket_mode", "local_app"}) {
        if (listener->Has(key)) listener->Report(key, HeldByAgent(from_agent));
      }
      return;
    }

    for (const std::string_view key : {"address", "local_app"}) {
      if (!listener->Has(key)) listener->Report(key, std::string(kRequired));
    }
    service_.public_listen = listener->Address("address", base_dir_);
    ReadMode(*listener, &service_.public_listen);
    if (service_.public_listen) {
      listeners_.push_back({*listener, "address", *service_.public_listen});
      if (service_.register_self && service_.public_listen->kind == net::Address::Kind::kUnix) {
        listener->Report("address",
                         "is a unix socket, which nobody can dial from elsewhere; with "
                         "register: true write host:port");
      }
    }
    service_.local_app = listener->Address("local_app", base_dir_);
    if (service_.local_app) CheckDialable(*listener, "local_app", *service_.local_app);
  }

  static void CheckDialable(const YamlMapping& mapping, std::string_view key,
                            const net::Address& address) {
    const Status status = CheckDialled(address);
    if (!status) mapping.Report(key, status.error().message);
  }

  void ReadIntentions(const YamlMapping& file) {
    const std::optional<YamlMapping> intentions = file.Mapping("intentions", kIntentionsKeys);
    if (!intentions) return;
    if (!file.Has("public_listener")) {
      file.Report("intentions", "say who may call public_listener, which is not there");
    }
    StaticIntentions read;
    // Without a default a caller that no rule covers is denied.
    const std::optional<authz::Action> fallback = ReadAction(*intentions, "default");
    read.fallback = fallback == authz::Action::kAllow ? authz::DefaultPolicy::kAllow
                                                      : authz::DefaultPolicy::kDeny;
    for (const YamlMapping& rule : intentions->Mappings("rules", kRuleKeys)) {
      ReadRule(rule, &read.rules);
    }
    service_.intentions = std::move(read);
  }

  void ReadRule(const YamlMapping& rule, std::vector<authz::Intention>* rules) {
    for (const std::string_view key : kRuleKeys) {
      if (!rule.Has(key)) rule.Report(key, std::string(kRequired));
    }
    const std::optional<std::string> source = rule.Text("source");
    const std::optional<authz::Action> action = ReadAction(rule, "action");
    if (source && *source != "*" && !authz::IsPathSegment(*source)) {
      rule.Report("source",
                  "\"" + authz::Shortened(*source) + "\" is neither a service's name nor '*'");
      return;
    }
    if (!source || !action) return;
    const bool twice = std::any_of(rules->begin(), rules->end(), [&source](const auto& other) {
      return other.source_name == *source;
    });
    if (twice) {
      rule.Report("source", "\"" + authz::Shortened(*source) + "\" has a rule already; keep one");
      return;
    }
    authz::Intention intention;
    intention.source_name = *source;
    intention.destination_name = service_.service;
    intention.precedence = *source == "*" ? kWildcardPrecedence : kExactPrecedence;
    intention.action = *action;
    rules->push_back(std::move(intention));
  }

  static std::optional<authz::Action> ReadAction(const YamlMapping& mapping, std::string_view key) {
    const std::optional<std::string> text = mapping.Text(key);
    if (!text) return std::nullopt;
    if (*text == "allow") return authz::Action::kAllow;
    if (*text == "deny") return authz::Action::kDeny;
    mapping.Report(key, "\"" + authz::Shortened(*text) + "\" is neither allow nor deny");
    return std::nullopt;
  }

  void ReadUpstreams(const YamlMapping& file) {
    for (const YamlMapping& mapping : file.Mappings("upstreams", kUpstreamKeys)) {
      ReadUpstream(mapping);
    }
  }

  void ReadUpstream(const YamlMapping& mapping) {
    UpstreamSettings upstream;
    const bool is_query = mapping.Has("query");
    const std::string_view name_key = is_query ? "query" : "service";
    if (is_query && mapping.Has("service")) {
      mapping.Report("query", "cannot stand beside service; keep one of them");
    } else if (!is_query && !mapping.Has("service")) {
      mapping.Report("", "names neither service nor query; one is required");
    }
    upstream.type = is_query ? authz::UpstreamType::kPreparedQuery : authz::UpstreamType::kService;
    upstream.name = mapping.Name(name_key).value_or("");
    upstream.datacenter = mapping.Name("datacenter").value_or("");

    if (!mapping.Has("listen")) mapping.Report("listen", std::string(kRequired));
    std::optional<net::Address> listen = mapping.Address("listen", base_dir_);
    ReadMode(mapping, &listen);
    if (listen) {
      upstream.listen = *listen;
      listeners_.push_back({mapping, "listen", *std::move(listen)});
    }

    upstream.endpoints = mapping.Addresses("endpoints", base_dir_);
    for (const net::Address& endpoint : upstream.endpoints) {
      CheckDialable(mapping, "endpoints", endpoint);
    }
    if (is_query && mapping.Has("endpoints")) {
      mapping.Report("endpoints", "cannot stand beside query, whose answer they are; use service");
    }
    if (const std::optional<std::string> uri = mapping.Text("spiffe_id")) {
      Result<authz::ServiceId> id = authz::ParseServiceId(*uri);
      if (id) {
        upstream.spiffe_id = *std::move(id);
      } else {
        mapping.Report("spiffe_id", id.error().message);
      }
    }
    upstream.connect_timeout = mapping.Duration("connect_timeout", Zero::kRefused);
    upstream.idle_timeout = mapping.Duration("idle_timeout", Zero::kAllowed);
    upstream.tls_resumption = OnOff(mapping, "tls_resumption");
    upstream.any_case = mapping.Boolean("any_case").value_or(false);
    for (const std::string_view key : {"query", "spiffe_id", "endpoints"}) {
      if (upstream.any_case && mapping.Has(key)) {
        mapping.Report("any_case", "has no use beside " + std::string(key) + ", which says whose identity it is");
      }
    }

    const auto key = [](const UpstreamSettings& u) {
      return std::tie(u.type, u.name, u.datacenter);
    };
    const bool twice =
        std::any_of(service_.upstreams.begin(), service_.upstreams.end(),
                    [&](const UpstreamSettings& other) { return key(other) == key(upstream); });
    if (twice && !upstream.name.empty()) {
      mapping.Report(name_key,
                     "\"" + upstream.name + "\" is an upstream already; keep one of them");
    }
    service_.upstreams.push_back(std::move(upstream));
  }

  void ReadRegistration(const YamlMapping& file) {
    const std::optional<bool> registered = file.Boolean("register");
    service_.register_self = registered.value_or(false);
    service_.register_id = file.Name("register_id").value_or("");
    if (const std::optional<std::string> host = file.Text("advertise")) {
      Result<std::string> parsed = ParseAdvertise(*host);
      if (parsed) {
        service_.advertise = *std::move(parsed);
      } else {
        file.Report("advertise", parsed.error().message);
      }
    }
    if (service_.register_self && !file.Has("public_listener")) {
      file.Report("register", "needs a public_listener to register");
    }
    for (const std::string_view key : {"register_id", "advertise"}) {
      // A register that is neither true nor false has been reported, and may well mean true.
      if (file.Has(key) && !registered.value_or(file.Has("register"))) {
        file.Report(key, "belongs to register: true, which is not there");
      }
    }
  }

  void ReadAdmin(const YamlMapping& file) {
    const std::optional<YamlMapping> admin = file.Mapping("admin", kAdminKeys);
    if (!admin) return;
    if (!admin->Has("address")) admin->Report("address", std::string(kRequired));
    settings_.admin = admin->Address("address", base_dir_);
    if (settings_.admin) listeners_.push_back({*admin, "address", *settings_.admin});
  }

  void ReadState(const YamlMapping& file) {
    settings_.state_dir = file.File("state_dir", base_dir_).value_or("");
    if (!file.Has("state_dir")) StateDirFromEnvironment(environment_, &settings_);
    settings_.cache_private_key =
        file.Boolean("cache_private_key").value_or(settings_.cache_private_key);
    if (const auto limit = file.Duration("max_stale", Zero::kAllowed)) {
      settings_.max_stale = *limit;
      if (const Status status = CheckMaxStale(*limit); !status) {
        file.Report("max_stale", status.error().message);
      }
    }
  }

  void ReadRevocation(const YamlMapping& file) {
    if (const std::optional<std::string> text = file.Text("on_revoke")) {
      const Result<OnRevoke> policy = ParseOnRevoke(*text);
      if (policy) {
        service_.on_revoke = *policy;
      } else {
        file.Report("on_revoke", policy.error().message);
      }
    }
    service_.revoke_grace =
        file.Duration("revoke_grace", Zero::kAllowed).value_or(service_.revoke_grace);
    service_.max_connection_age =
        file.Duration("max_connection_age", Zero::kAllowed).value_or(service_.max_connection_age);
  }

  static std::optional<std::size_t> Size(const YamlMapping& mapping, std::string_view key, SizeRange range = {}) {
    const std::optional<std::string> text = mapping.Text(key);
    if (!text) return std::nullopt;
    const Result<std::size_t> size = ParseSize(*text, range);
    if (size) return *size;
    mapping.Report(key, size.error().message);
    return std::nullopt;
  }

  static std::optional<bool> OnOff(const YamlMapping& mapping, std::string_view key) {
    const std::optional<std::string> text = mapping.Text(key);
    if (!text) return std::nullopt;
    const Result<bool> on = ParseOnOff(*text);
    if (on) return *on;
    mapping.Report(key, on.error().message);
    return std::nullopt;
  }

  void ReadProcess(const YamlMapping& file) {
    service_.tls_resumption = OnOff(file, "tls_resumption").value_or(service_.tls_resumption);
    settings_.allow_core = file.Boolean("allow_core").value_or(settings_.allow_core);
    if (const std::optional<std::string> text = file.Text("log_level")) {
      const Result<LogLevel> level = ParseLogLevel(*text);
      if (level) {
        settings_.log_level = *level;
      } else {
        file.Report("log_level", level.error().message);
      }
    }
    settings_.log_json = file.Boolean("log_json").value_or(settings_.log_json);
    settings_.workers = file.Number("workers", 1, kMaxWorkers).value_or(settings_.workers);
    settings_.memory_limit = Size(file, "memory_limit", kMemoryLimitRange);
    settings_.max_handshakes = file.Number("max_handshakes", 1, kMostHandshakes);
    settings_.handshake_memory = Size(file, "handshake_memory", kMemoryPartRange);
    settings_.buffer_memory = Size(file, "buffer_memory", kMemoryPartRange);
    struct Target {
      std::string_view key;
      milliseconds* value;
      Zero zero;
    };
    const std::array<Target, 5> targets{{
        {"connect_timeout", &service_.connect_timeout, Zero::kRefused},
        {"idle_timeout", &service_.idle_timeout, Zero::kAllowed},
        {"drain_delay", &settings_.drain_delay, Zero::kAllowed},
        {"drain_time", &settings_.drain_time, Zero::kAllowed},
        {"drain_quiet", &settings_.drain_quiet, Zero::kAllowed},
    }};
    for (const Target& target : targets) {
      *target.value = file.Duration(target.key, target.zero).value_or(*target.value);
    }
  }

  void CheckOverlaps() {
    for (std::size_t i = 0; i < listeners_.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (!Overlap(listeners_[i].address, listeners_[j].address)) continue;
        listeners_[i].mapping.Report(listeners_[i].key,
                                     "\"" + authz::Shortened(listeners_[i].address.Text()) +
                                         "\" clashes with " +
                                         listeners_[j].mapping.PathOf(listeners_[j].key));
        break;
      }
    }
  }

  // ReadAgent comes last: the environment is looked at only if something is to come from the agent.
  void ReadAgent(const YamlMapping& file) {
    const bool needed = settings_.NeedsAgent();
    std::vector<std::string> warnings;
    const Environment nothing;
    const Environment& environment = needed ? environment_ : nothing;
    AgentSettings& agent = settings_.agent;
    agent = AgentFromEnvironment(environment, &warnings);
    settings_.warnings.insert(settings_.warnings.end(), warnings.begin(), warnings.end());

    std::string address = EnvironmentValue(environment, "CONSUL_HTTP_ADDR");
    const std::size_t problems_before = problems_->size();
    const std::optional<YamlMapping> mapping = file.Mapping("agent", kAgentKeys);
    if (mapping) ReadAgentKeys(*mapping, &agent);
    const bool address_given = mapping && mapping->Has("address");
    if (address_given) address = mapping->Text("address").value_or("");
    if (!address.empty()) {
      const Status status = ParseAgentAddress(address, &agent, base_dir_);
      if (!status && address_given) mapping->Report("address", status.error().message);
      if (!status && !address_given) {
        problems_->push_back({0, 0, "CONSUL_HTTP_ADDR: " + status.error().message});
      }
    }
    if (problems_->size() > problems_before) return;
    const Status status = CheckAgent(agent);
    if (!status && mapping) mapping->Report("", status.error().message);
    if (!status && !mapping) {
      problems_->push_back(
          {0, 0, "the agent's settings of the environment: " + status.error().message});
    }
  }

  void ReadAgentKeys(const YamlMapping& mapping, AgentSettings* agent) {
    // A credential in the file replaces the environment's, other half included: half of each is no
    // pair, and a token file of the environment would beat the file's token.
    if (mapping.Has("token") || mapping.Has("token_file")) {
      agent->token = mapping.Text("token").value_or("");
      agent->token_file = mapping.File("token_file", base_dir_).value_or("");
      if (mapping.Has("token") && mapping.Has("token_file")) {
        mapping.Report("token", "cannot stand beside token_file, which would beat it; keep one");
      }
    }
    if (mapping.Has("client_cert") || mapping.Has("client_key")) {
      agent->tls.client_cert = mapping.File("client_cert", base_dir_).value_or("");
      agent->tls.client_key = mapping.File("client_key", base_dir_).value_or("");
    }
    if (mapping.Has("ca_file") || mapping.Has("ca_path")) {
      agent->tls.ca_file = mapping.File("ca_file", base_dir_).value_or("");
      agent->tls.ca_path = mapping.File("ca_path", base_dir_).value_or("");
    }
    agent->tls_server_name = mapping.Text("tls_server_name").value_or(agent->tls_server_name);
    agent->ns = mapping.Name("namespace").value_or(agent->ns);
    agent->partition = mapping.Name("partition").value_or(agent->partition);
    agent->stale = mapping.Boolean("stale").value_or(agent->stale);
    agent->tls.verify = mapping.Boolean("verify").value_or(agent->tls.verify);
    agent->max_answer_size = Size(mapping, "max_answer_size").value_or(agent->max_answer_size);
    agent->max_connections = mapping.Number("max_agent_connections", kLeastAgentConnections, kMostAgentConnections)
                                 .value_or(agent->max_connections);
  }

  const std::string_view base_dir_;
  const Environment& environment_;
  Settings& settings_;
  ServiceSettings& service_;
  std::vector<Problem>* problems_;
  std::vector<Listener> listeners_;
};

}  // namespace

ParsedYaml ParseYaml(std::string_view text, std::string_view base_dir,
                     const std::map<std::string, std::string>& environment) {
  ParsedYaml parsed;
  YamlDocument document = ReadYamlDocument(text);
  parsed.problems = std::move(document.problems);
  if (document.complete && document.root.kind == YamlNode::Kind::kNull) {
    parsed.problems.push_back(
        {0, 0, "the file is empty; see examples/mooring.yaml for what it holds"});
  } else if (document.complete) {
    SchemaReader(base_dir, environment, &parsed).Read(document.root);
  }
  std::stable_sort(parsed.problems.begin(), parsed.problems.end(),
                   [](const Problem& a, const Problem& b) {
                     return std::tie(a.line, a.column) < std::tie(b.line, b.column);
                   });
  if (parsed.problems.empty()) WarnOfExposure(&parsed.settings);
  return parsed;
}

}  // namespace mooring::config
