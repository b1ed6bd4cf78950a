#include "proxy/config/yaml_service.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "authz/spiffe.h"
#include "authz/text.h"
#include "proxy/config/checks.h"
#include "proxy/config/table.h"
#include "proxy/config/yaml_values.h"

namespace mooring::config {
namespace {

// Consul's precedence of an intention for one destination by name: an exact source before the
// wildcard.
constexpr int kExactPrecedence = 9;
constexpr int kWildcardPrecedence = 8;

constexpr std::string_view kRequired = "is required";
constexpr std::array<std::string_view, 2> kRuleKeys{"source", "action"};

std::string Quoted(std::string_view text) { return '"' + authz::Shortened(text) + '"'; }

// ServiceReader reads each key once, since a second read would report its mistake again.
class ServiceReader final {
 public:
  ServiceReader(const YamlMapping& mapping, const YamlReading& reading, Settings* settings,
                ServiceSettings* service, std::vector<YamlListener>* listeners)
      : mapping_(mapping),
        reading_(reading),
        target_{*settings, *service},
        service_(*service),
        listeners_(*listeners) {}

  void Read() {
    const std::string_view from_agent = ReadWho();
    ReadKeys(mapping_, In::kServices, reading_, target_, [](const Setting&) { return true; });
    if (mapping_.Has("token") && mapping_.Has("token_file")) {
      mapping_.Report("token", "cannot stand beside token_file, which would beat it; keep one");
    }
    ReadKeys(mapping_, In::kFile, reading_, target_,
             [](const Setting& setting) { return setting.of == Of::kEachService; });
    if (const Status revoke = CheckOnRevoke(service_, "revoke_grace: 30s"); !revoke)
      mapping_.Report("on_revoke", revoke.error().message);
    if (!from_agent.empty()) {
      RefuseHeld(mapping_, In::kFile, from_agent);
      ReadPublicListener(from_agent);
      return;
    }
    RequireWork();
    ReadIdentity();
    ReadRegistration();
    ReadPublicListener(from_agent);
    ReadIntentions();
    ReadUpstreams();
  }

 private:
  // ReadWho returns the key by which the configuration comes from the agent; empty if it is all
  // here.
  std::string_view ReadWho() {
    constexpr std::array<std::string_view, 3> kWho{"service", "proxy_id", "sidecar_for"};
    std::vector<std::string_view> given;
    std::copy_if(kWho.begin(), kWho.end(), std::back_inserter(given),
                 [this](std::string_view key) { return mapping_.Has(key); });
    if (given.empty()) mapping_.ReportWhole("one of service, proxy_id and sidecar_for is required");
    for (std::size_t i = 1; i < given.size(); ++i) {
      mapping_.Report(given[i],
                      "cannot stand beside " + std::string(given[0]) + "; keep one of them");
    }
    for (const std::string_view key : kWho)
      (void)ReadKey(mapping_, *FindKey(In::kFile, key), reading_, target_);
    if (mapping_.Has("service") || given.empty()) return {};
    return given[0];
  }

  static std::string HeldByAgent(std::string_view from_agent) {
    return "cannot stand beside " + std::string(from_agent) +
           ", with which it comes from the agent; leave it out, or use service";
  }

  static void RefuseHeld(const YamlMapping& mapping, In in, std::string_view from_agent) {
    for (const Setting& setting : Table()) {
      if (setting.in != in || !setting.held || !mapping.Has(setting.key)) continue;
      mapping.Report(setting.key, HeldByAgent(from_agent));
    }
  }

  void RequireWork() {
    if (mapping_.Has("public_listener") || mapping_.Has("upstreams")) return;
    if (!mapping_.Has("service") || mapping_.Has("proxy_id") || mapping_.Has("sidecar_for")) return;
    mapping_.Report("service",
                    "has nothing to do; one of public_listener and upstreams is required");
  }

  void ReadIdentity() {
    const std::vector<std::string_view> keys = KeysOf(In::kIdentity);
    const std::optional<YamlMapping> identity = mapping_.Mapping("identity", keys);
    if (!identity) return;
    for (const std::string_view key : keys) {
      if (identity->Has(key)) continue;
      identity->Report(key, "is required: certificate, private_key and roots go together");
    }
    ReadKeys(*identity, In::kIdentity, reading_, target_, [](const Setting&) { return true; });
  }

  // ReadMode puts socket_mode into the address that it belongs to.
  static void ReadMode(const YamlMapping& mapping, net::Address* address) {
    const std::optional<unsigned> mode = mapping.Mode("socket_mode");
    if (!mapping.Has("socket_mode") || address == nullptr) return;
    if (address->kind != net::Address::Kind::kUnix) {
      mapping.Report("socket_mode", "belongs to an address of unix:/path");
    } else if (mode) {
      address->mode = *mode;
    }
  }

  void ReadPublicListener(std::string_view from_agent) {
    const std::optional<YamlMapping> listener =
        mapping_.Mapping("public_listener", KeysOf(In::kPublicListener));
    if (!listener) return;
    ReadKeys(*listener, In::kPublicListener, reading_, target_,
             [&](const Setting& setting) { return from_agent.empty() || !setting.held; });
    if (!from_agent.empty()) {
      RefuseHeld(*listener, In::kPublicListener, from_agent);
      return;
    }
    for (const std::string_view key : {"address", "local_app"}) {
      if (!listener->Has(key)) listener->Report(key, std::string(kRequired));
    }
    ReadMode(*listener, service_.public_listen ? &*service_.public_listen : nullptr);
    if (!service_.public_listen) return;
    service_.listen_from = listener->PlaceOf("address");
    listeners_.push_back({*listener, "address", *service_.public_listen});
    if (service_.register_self && service_.public_listen->kind == net::Address::Kind::kUnix) {
      listener->Report("address",
                       "is a unix socket, which nobody can dial from elsewhere; with "
                       "register: true write host:port");
    }
    if (service_.local_app && Reaches(*service_.local_app, *service_.public_listen)) {
      listener->Report("local_app", Quoted(service_.local_app->Text()) +
                                        " is where address listens: the proxy would call itself; "
                                        "give one of them another port");
    }
  }

  void ReadIntentions() {
    const std::optional<YamlMapping> intentions =
        mapping_.Mapping("intentions", KeysOf(In::kIntentions));
    if (!intentions) return;
    if (!mapping_.Has("public_listener")) {
      mapping_.Report("intentions", "say who may call public_listener, which is not there");
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
      rule.Report("source", Quoted(*source) + " is neither a service's name nor '*'");
      return;
    }
    if (!source || !action) return;
    const bool twice = std::any_of(rules->begin(), rules->end(), [&source](const auto& other) {
      return other.source_name == *source;
    });
    if (twice) {
      rule.Report("source", Quoted(*source) + " has a rule already; keep one");
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
    mapping.Report(key, Quoted(*text) + " is neither allow nor deny");
    return std::nullopt;
  }

  void ReadUpstreams() {
    for (const YamlMapping& mapping : mapping_.Mappings("upstreams", KeysOf(In::kUpstreams))) {
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
    ReadKeys(mapping, In::kUpstreams, reading_, {target_.process, service_, &upstream},
             [](const Setting& setting) { return setting.key != "listen"; });
    ReadListen(mapping, &upstream);

    upstream.endpoints = mapping.Addresses("endpoints", reading_.base_dir);
    for (const net::Address& endpoint : upstream.endpoints) {
      if (const Status status = CheckDialled(endpoint); !status)
        mapping.Report("endpoints", status.error().message);
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
    for (const std::string_view key : {"query", "spiffe_id", "endpoints"}) {
      if (upstream.any_case && mapping.Has(key)) {
        mapping.Report("any_case", "has no use beside " + std::string(key) +
                                       ", which says whose identity it is");
      }
    }

    for (const std::string_view key : {"query", "endpoints"}) {
      if (!mapping.Has(key)) continue;
      if (mapping.Has("select")) {
        mapping.Report("select", "has no use beside " + std::string(key) +
                                     ", which says itself which instances there are");
      }
      if (upstream.on_departure == OnDeparture::kClose) {
        mapping.Report("on_departure", "close has no use beside " + std::string(key) +
                                           ", of which no catalog says who has left");
      }
    }

    const auto key = [](const UpstreamSettings& u) {
      return std::tie(u.type, u.name, u.datacenter);
    };
    const bool twice =
        std::any_of(service_.upstreams.begin(), service_.upstreams.end(),
                    [&](const UpstreamSettings& other) { return key(other) == key(upstream); });
    if (twice && !upstream.name.empty()) {
      mapping.Report(name_key, Quoted(upstream.name) + " is an upstream already; keep one of them");
    }
    service_.upstreams.push_back(std::move(upstream));
  }

  void ReadListen(const YamlMapping& mapping, UpstreamSettings* upstream) {
    if (!mapping.Has("listen")) mapping.Report("listen", std::string(kRequired));
    const bool good = ReadKey(mapping, *FindKey(In::kUpstreams, "listen"), reading_,
                              {target_.process, service_, upstream}) &&
                      mapping.Has("listen");
    ReadMode(mapping, good ? &upstream->listen : nullptr);
    if (!good) return;
    upstream->from = mapping.PlaceOf("listen");
    listeners_.push_back({mapping, "listen", upstream->listen});
  }

  void ReadRegistration() {
    const bool told = ReadKey(mapping_, *FindKey(In::kFile, "register"), reading_, target_);
    for (const std::string_view key : {"register_id", "advertise"}) {
      (void)ReadKey(mapping_, *FindKey(In::kFile, key), reading_, target_);
      // A register that is neither true nor false has been reported, and may well mean true.
      if (mapping_.Has(key) && told && !service_.register_self) {
        mapping_.Report(key, "belongs to register: true, which is not there");
      }
    }
    if (service_.register_self && !mapping_.Has("public_listener")) {
      mapping_.Report("register", "needs a public_listener to register");
    }
  }

  const YamlMapping& mapping_;
  const YamlReading& reading_;
  const Target target_;
  ServiceSettings& service_;
  std::vector<YamlListener>& listeners_;
};

}  // namespace

void ReadYamlService(const YamlMapping& mapping, const YamlReading& reading,
                     const ServiceSettings& defaults, Settings* settings,
                     std::vector<YamlListener>* listeners) {
  ServiceSettings& service = settings->services.emplace_back(defaults);
  ServiceReader(mapping, reading, settings, &service, listeners).Read();
}

void CheckYamlListeners(const std::vector<YamlListener>& listeners) {
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (!Overlap(listeners[i].address, listeners[j].address)) continue;
      listeners[i].mapping.Report(listeners[i].key,
                                  Quoted(listeners[i].address.Text()) + " clashes with " +
                                      listeners[j].mapping.PlaceOf(listeners[j].key));
      break;
    }
  }
}

}  // namespace mooring::config
