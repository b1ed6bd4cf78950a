#include "proxy/control/proxy_config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <string_view>
#include <variant>

#include "authz/text.h"
#include "proxy/config/checks.h"
#include "proxy/config/duration.h"
#include "proxy/config/table.h"

namespace mooring::control {
namespace {

// Reader takes keys out of an opaque Config and notes which were understood, so that the rest can
// be named.
class Reader final {
 public:
  Reader(const authz::OpaqueConfig& config, std::string where, std::vector<std::string>* warnings)
      : config_(config), where_(std::move(where)), warnings_(warnings) {}

  const std::string* Text(const std::string& key) {
    const auto found = config_.find(key);
    if (found == config_.end()) return nullptr;
    seen_.insert(key);
    return &found->second;
  }

  // Settings puts what the table of settings knows by keys of such a Config into its places.
  void Settings(config::In in, const config::Target& target) {
    for (const config::Setting& setting : config::Table()) {
      if (setting.in != in || setting.config_key.empty()) continue;
      const auto [key, text] = Find(std::string(setting.config_key));
      if (text == nullptr) continue;
      std::string value = *text;
      if (const auto* duration = std::get_if<config::kind::Duration>(&setting.value)) {
        const std::optional<milliseconds> read =
            IsNested(key) ? ConsulDuration(key, *text) : Milliseconds(key, *text);
        // To Consul 0 is what is not said.
        if (!read || (read->count() == 0 && duration->zero == config::kind::Zero::kRefused))
          continue;
        value = config::DurationText(*read);
      }
      const auto* number = std::get_if<config::kind::Number>(&setting.value);
      const bool consuls = IsNested(key) || key == "max_inbound_connections";
      if (consuls && number != nullptr && number->least > 0 && value == "0") continue;
      const Status status = config::ReadValue(setting.value, value, {}, target);
      if (status) continue;
      const std::string& why = status.error().message;
      Warn(key + " = " +
           (why.starts_with('"') ? why : '"' + authz::Shortened(value) + "\": " + why) +
           "; the default holds");
    }
  }

  void Ignore(const std::string& key) { seen_.insert(key); }
  void IgnorePrefix(const std::string& prefix) {
    for (const auto& [key, value] : config_) {
      if (key.starts_with(prefix)) seen_.insert(key);
    }
  }
  void Warn(const std::string& text) { warnings_->push_back(where_ + ": " + text); }

  // Disobey says once that what stands at `key` or below it is not done here.
  void Disobey(const std::string& key, const std::string& what) {
    std::string set;
    for (const auto& [name, value] : config_) {
      if (name != key && !name.starts_with(key + ".")) continue;
      seen_.insert(name);
      set += (set.empty() ? "" : ", ") + name + " = " + value;
    }
    if (!set.empty()) Warn(set + ": " + what);
  }

  void WarnUnknown() {
    for (const auto& [key, value] : config_) {
      if (!seen_.contains(key)) Warn("key " + key + " is not known to Mooring and has no effect");
    }
  }

  void Protocol() {
    if (const std::string* protocol = Text("protocol"); protocol != nullptr && *protocol != "tcp") {
      Warn("protocol " + *protocol +
           " is carried as plain TCP; intentions with L7 permissions deny");
    }
  }

 private:
  static bool IsNested(const std::string& key) { return key.find('.') != std::string::npos; }

  // Find is the key as it is written there, and its text; null: it is not there. What is nested
  // Consul writes as max_failures in a registration and as MaxFailures in central configuration.
  std::pair<std::string, const std::string*> Find(const std::string& key) {
    if (const std::string* text = Text(key); text != nullptr || !IsNested(key)) return {key, text};
    for (const auto& [name, text] : config_) {
      if (authz::EqualIgnoringCase(Spelled(name), Spelled(key))) return {name, Text(name)};
    }
    return {key, nullptr};
  }
  static std::string Spelled(std::string key) {
    std::erase(key, '_');
    return key;
  }

  // ConsulDuration reads what Consul writes for a duration: nanoseconds, or text such as 10s. Less
  // than a millisecond is one. Bad: nullopt.
  std::optional<milliseconds> ConsulDuration(const std::string& key, const std::string& text) {
    double nanoseconds = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), nanoseconds);
    constexpr double kMost = 1e18;  // 30 years
    if (error == std::errc{} && end == text.data() + text.size() && nanoseconds >= 0 &&
        nanoseconds <= kMost)
      return milliseconds(static_cast<milliseconds::rep>(std::ceil(nanoseconds / 1e6)));
    if (const auto duration = config::ParseDuration(text)) return *duration;
    Warn(key + " = \"" + authz::Shortened(text) +
         "\" is neither a number of nanoseconds nor a duration such as 10s; the default holds");
    return std::nullopt;
  }

  // Milliseconds reads a number of any spelling (1000, 1000.0, "1000"). Bad: nullopt.
  std::optional<milliseconds> Milliseconds(const std::string& key, const std::string& text) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    constexpr double kMost = 1e12;  // 30 years
    if (error != std::errc{} || end != text.data() + text.size() ||
        !(value >= 0 && value <= kMost)) {
      Warn(key + " = \"" + text + "\" is not a number of milliseconds; the default holds");
      return std::nullopt;
    }
    return milliseconds(static_cast<milliseconds::rep>(std::llround(value)));
  }

  const authz::OpaqueConfig& config_;
  const std::string where_;
  std::vector<std::string>* const warnings_;
  std::set<std::string> seen_;
};

// Name gives each upstream its listener's name, and what it leaves to the settings.
std::vector<NamedUpstream> Name(std::vector<config::UpstreamSettings> upstreams,
                                const config::ServiceSettings& settings) {
  std::vector<NamedUpstream> named;
  std::set<std::string> taken;
  for (config::UpstreamSettings& upstream : upstreams) {
    std::string listener = "upstream:" + upstream.Name();
    // The same upstream twice, on two addresses.
    if (!taken.insert(listener).second) {
      listener += "#" + upstream.listen.Text();
      taken.insert(listener);
    }
    upstream.tls_resumption = upstream.tls_resumption.value_or(settings.tls_resumption);
    upstream.attempts = upstream.attempts.value_or(settings.attempts);
    upstream.attempt_delay = upstream.attempt_delay.value_or(settings.attempt_delay);
    upstream.early_close = upstream.early_close.value_or(settings.early_close);
    upstream.mesh_gateway_service = settings.mesh_gateway_service;
    upstream.failback_delay = upstream.failback_delay.value_or(settings.failback_delay);
    upstream.probe_interval = upstream.probe_interval.value_or(settings.probe_interval);
    upstream.balance = upstream.balance.value_or(settings.balance);
    upstream.prefer_near = upstream.prefer_near.value_or(settings.prefer_near);
    upstream.eject_after = upstream.eject_after.value_or(settings.eject_after);
    upstream.eject_time = upstream.eject_time.value_or(settings.eject_time);
    upstream.eject_longest = upstream.eject_longest.value_or(settings.eject_longest);
    upstream.no_endpoint = upstream.no_endpoint.value_or(settings.no_endpoint);
    upstream.passing_only = upstream.passing_only.value_or(settings.passing_only);
    upstream.on_departure = upstream.on_departure.value_or(settings.on_departure);
    upstream.departure_grace = upstream.departure_grace.value_or(settings.departure_grace);
    named.push_back({std::move(listener), std::move(upstream)});
  }
  return named;
}

// ToUpstream is nullopt, with a warning, for what cannot be served.
std::optional<config::UpstreamSettings> ToUpstream(const authz::UpstreamDocument& document,
                                                   std::vector<std::string>* warnings) {
  const std::string where = "upstream " + document.name;
  if (!document.peer.empty()) {
    warnings->push_back(where + ": DestinationPeer \"" + document.peer +
                        "\" cannot be served (peering needs xDS); the upstream is left out");
    return std::nullopt;
  }
  if (!document.partition.empty() && document.partition != "default") {
    warnings->push_back(where + ": DestinationPartition \"" + document.partition +
                        "\" cannot be served; the upstream is left out");
    return std::nullopt;
  }
  if (!document.ns.empty() && document.ns != "default") {
    warnings->push_back(where + ": DestinationNamespace \"" + document.ns +
                        "\" cannot be served; the upstream is left out");
    return std::nullopt;
  }
  config::UpstreamSettings upstream;
  upstream.type = document.type;
  upstream.name = document.name;
  upstream.datacenter = document.datacenter;
  if (!document.socket_path.empty()) {
    upstream.listen.kind = net::Address::Kind::kUnix;
    upstream.listen.path = document.socket_path;
    if (!document.socket_mode.empty()) {
      unsigned mode = 0;
      const std::string& text = document.socket_mode;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
      if (error != std::errc{} || end != text.data() + text.size() || mode > 0777) {
        warnings->push_back(where + ": LocalBindSocketMode \"" + text +
                            "\" is not an octal mode such as \"0600\"; 0600 is used");
      } else {
        upstream.listen.mode = mode;
      }
    }
  } else {
    upstream.listen.host = document.bind_address.empty() ? "127.0.0.1" : document.bind_address;
    upstream.listen.port = document.bind_port;
  }
  Reader reader(document.config, where + " Config", warnings);
  config::Settings process;
  config::ServiceSettings service;
  reader.Settings(config::In::kUpstreams, {process, service, &upstream});
  if (upstream.type == authz::UpstreamType::kPreparedQuery) {
    if (!upstream.select.empty())
      reader.Warn("select has no effect on a prepared query, which has tags of its own");
    if (upstream.on_departure == config::OnDeparture::kClose)
      reader.Warn("on_departure has no effect on a prepared query");
    upstream.select.clear();
  }
  reader.Protocol();
  for (const char* key : {"limits.max_concurrent_requests", "limits.MaxConcurrentRequests"})
    reader.Disobey(key, "a layer 4 proxy sees no requests; the other limits are obeyed");
  reader.Ignore("balance_outbound_connections");
  reader.IgnorePrefix("mesh_gateway");
  if (const std::string& mode = document.mesh_gateway_mode; !mode.empty()) {
    const auto read = config::ParseMeshGateway(mode);
    if (!read) {
      warnings->push_back(where + ": MeshGateway mode " + authz::Shortened(mode) +
                          " is not known; " +
                          "instances of other datacenters are dialled as the others' mode has it");
    } else if (document.type == authz::UpstreamType::kPreparedQuery &&
               *read != config::MeshGateway::kNone) {
      warnings->push_back(where + ": MeshGateway mode " + mode +
                          " is not obeyed by a query; its instances are dialled directly");
    } else {
      upstream.mesh_gateway = *read;
    }
  }
  for (const char* key : {"envoy_listener_json", "envoy_cluster_json"}) {
    if (reader.Text(key) != nullptr)
      reader.Warn(std::string(key) + " is for Envoy and has no effect");
  }
  reader.WarnUnknown();
  return upstream;
}

void ReadPublicListen(const authz::ProxyDocument& document, Reader* reader, ProxyConfig* config) {
  net::Address listen;
  const std::string* bind_address = reader->Text("bind_address");
  const std::string* bind_port = reader->Text("bind_port");
  listen.host = bind_address != nullptr && !bind_address->empty() ? *bind_address
                : !document.address.empty()                       ? document.address
                                                                  : "0.0.0.0";
  listen.port = document.port;
  if (bind_port != nullptr) {
    std::uint16_t port = 0;
    const auto [end, error] =
        std::from_chars(bind_port->data(), bind_port->data() + bind_port->size(), port);
    if (error == std::errc{} && end == bind_port->data() + bind_port->size()) {
      listen.port = port;
    } else {
      reader->Warn("bind_port = \"" + *bind_port + "\" is not a port; the registered one holds");
    }
  }
  if (listen.port != 0) config->public_listen = listen;
}

void ReadLocalApp(const authz::ProxyDocument& document, Reader* reader, ProxyConfig* config) {
  const std::string* fallback = reader->Text("local_service_address");
  if (!document.local_service_socket_path.empty()) {
    net::Address app;
    app.kind = net::Address::Kind::kUnix;
    app.path = document.local_service_socket_path;
    config->local_app = app;
  } else if (document.local_service_port != 0) {
    net::Address app;
    app.host =
        document.local_service_address.empty() ? "127.0.0.1" : document.local_service_address;
    app.port = document.local_service_port;
    config->local_app = app;
  } else if (fallback != nullptr) {
    if (auto app = net::ParseAddress(*fallback, "127.0.0.1")) {
      config->local_app = *app;
    } else {
      reader->Warn("local_service_address: " + app.error().message);
    }
  }
}

void Take(const config::ServiceSettings& settings, ProxyConfig* config) {
  config->handshake_timeout = settings.handshake_timeout;
  config->local_connect_timeout = settings.local_connect_timeout;
  config->proxy_protocol = settings.proxy_protocol;
  config->max_inbound_connections = settings.max_inbound_connections;
  config->inbound_idle_timeout = settings.local_idle_timeout.value_or(settings.idle_timeout);
  config->connect_timeout = settings.connect_timeout;
  config->idle_timeout = settings.idle_timeout;
}

}  // namespace

ProxyConfig FromSettings(const config::ServiceSettings& settings) {
  ProxyConfig config;
  Take(settings, &config);
  config.service = settings.service;
  config.public_listen = settings.public_listen;
  config.local_app = settings.local_app;
  config.upstreams = Name(settings.upstreams, settings);
  return config;
}

ProxyConfig FromDocument(const authz::ProxyDocument& document,
                         const config::ServiceSettings& settings) {
  ProxyConfig config;
  config.service = document.destination_service;
  config.proxy_id = document.id;
  config.locality = document.locality;
  Reader reader(document.config, "Proxy.Config", &config.warnings);
  config::Settings process;
  config::ServiceSettings told = settings;
  reader.Settings(config::In::kPublicListener, {process, told});
  Take(told, &config);
  ReadPublicListen(document, &reader, &config);
  ReadLocalApp(document, &reader, &config);
  if (config.public_listen && !config.local_app) {
    reader.Warn(
        "the registration names no local app (Proxy.LocalServicePort, LocalServiceSocketPath or "
        "Config.local_service_address); the public listener stays closed");
    config.public_listen.reset();
  }
  reader.Protocol();
  for (const char* key :
       {"tcp_check_address", "disable_tcp_check", "balance_inbound_connections",
        "local_request_timeout_ms", "xds_fetch_timeout_ms", "prometheus_bind_addr"}) {
    reader.Ignore(key);
  }
  for (const char* prefix : {"telemetry", "envoy_", "mesh_gateway"}) reader.IgnorePrefix(prefix);
  for (const char* key : {"statsd_url", "dogstatsd_url"}) reader.Ignore(key);
  if (reader.Text("upstreams") != nullptr) {
    reader.Warn(
        "upstreams inside Config are deprecated and not read; move them to Proxy.Upstreams");
  }
  reader.IgnorePrefix("upstreams");
  reader.WarnUnknown();
  if (document.mode == "transparent") {
    config.warnings.push_back(
        "Proxy.Mode transparent needs redirected traffic, which Mooring does not "
        "take; it is treated as direct");
  }
  if (document.exposes_paths) {
    config.warnings.push_back(
        "Proxy.Expose opens single HTTP paths without TLS, which a layer 4 proxy "
        "cannot restrict; it is not obeyed");
  }
  std::vector<config::UpstreamSettings> upstreams;
  for (const authz::UpstreamDocument& each : document.upstreams) {
    if (auto upstream = ToUpstream(each, &config.warnings))
      upstreams.push_back(std::move(*upstream));
  }
  config.upstreams = Name(std::move(upstreams), settings);
  return config;
}

}  // namespace mooring::control
