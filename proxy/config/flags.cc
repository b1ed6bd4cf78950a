#include "proxy/config/flags.h"

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <utility>
#include <variant>

#include "authz/spiffe.h"
#include "authz/text.h"
#include "proxy/config/agent.h"
#include "proxy/config/checks.h"
#include "proxy/config/table.h"

namespace mooring::config {
namespace {

constexpr std::string_view kPreparing = "Error preparing configuration: ";
constexpr std::string_view kConnecting = "Error connecting to Consul agent: ";

Error Preparing(const std::string& why) { return Invalid(std::string(kPreparing) + why); }

Error BadValue(std::string_view flag, std::string_view value, const std::string& why) {
  return Invalid("invalid value \"" + authz::Shortened(value) + "\" for flag -" +
                 std::string(flag) + ": " + why);
}

// HelpOf is the flag's paragraph of the usage text.
std::string HelpOf(const Setting& setting) {
  std::string help = Sentence(setting, Form::kFlag);
  if (!setting.flag_says.empty()) help += ' ' + std::string(setting.flag_says);
  if (const auto* address = std::get_if<kind::Address>(&setting.value);
      address != nullptr && !address->flag_host.empty()) {
    help += " Without a host it is " + std::string(address->flag_host) + '.';
  }
  if (const std::string standard = DefaultOf(setting); !standard.empty() && standard != "false") {
    help += " Default: " + standard + '.';
  }
  if (!setting.variable.empty() && !setting.flag.empty())
    help += " Also " + std::string(setting.variable) + '.';
  if (!setting.config_key.empty()) {
    help += " A registration's Config beats it, as " + std::string(setting.config_key) +
            (setting.change == Change::kRunning ? ", at any time." : ".");
  }
  return help;
}

FlagSpec SpecOf(const Setting& setting) {
  return {.name = setting.flag,
          .argument = TypeOf(setting.value),
          .help = HelpOf(setting),
          .secret = setting.secret};
}

const std::vector<FlagSpec>& Specs() {
  static const std::vector<FlagSpec> kSpecs = [] {
    std::vector<FlagSpec> specs;
    for (const Setting& setting : Table()) {
      if (!setting.flag.empty()) specs.push_back(SpecOf(setting));
    }
    return specs;
  }();
  return kSpecs;
}

// GroupedUsage lists the flags, and what only a variable says, below the titles of their groups.
std::string GroupedUsage() {
  std::string text;
  std::string_view title;
  for (const Setting& setting : Table()) {
    if (!setting.begins.empty()) title = setting.begins;
    if (setting.flag.empty() && setting.variable.empty()) continue;
    if (!title.empty()) text += std::string(title) + "\n\n";
    title = {};
    const FlagSpec spec = SpecOf(setting);
    text +=
        setting.flag.empty() ? UsageParagraph(setting.variable, spec.help) : UsageOf({&spec, 1});
  }
  return text;
}

// Reader reads one command line into settings, in the order in which Consul finds fault, so that
// the same mistake gives the same message. What the flags say of a service goes into one first, of
// which each service is then made.
class Reader final {
 public:
  Reader(const CommandLine& line, const Environment& environment, Settings* settings)
      : line_(line), environment_(environment), settings_(*settings) {}

  Status Read() {
    if (Status status = ReadUpstreams(); !status) return status;
    if (Status status = ReadOurs(); !status) return status;
    if (Status status = CheckNoOperands(line_, Specs(), "connect proxy"); !status) return status;
    for (const std::string_view flag : {"log-json", "log-level"}) {
      const std::string* text = line_.Find(flag);
      if (text == nullptr) continue;
      if (Status status = Set(flag, *text); !status) return status;
    }
    if (Status status = ReadAgent(); !status) return status;
    if (Status status = ReadWho(); !status) return status;
    return CheckOverlaps();
  }

 private:
  Status Set(std::string_view flag, std::string_view text) {
    return ReadValue(FindFlag(flag)->value, text, {}, {settings_, service_});
  }

  void Warn(std::string text) { settings_.warnings.push_back(std::move(text)); }

  // ReadUpstreams keeps Consul's rule that a second -upstream of a name replaces the first.
  Status ReadUpstreams() {
    for (const GivenFlag& flag : line_.flags) {
      if (flag.name != "upstream") continue;
      Result<UpstreamSettings> upstream = ParseUpstreamFlag(flag.value);
      if (!upstream) return BadValue("upstream", flag.value, upstream.error().message);
      upstream->from = "-upstream " + upstream->name;
      const auto same = std::find_if(
          service_.upstreams.begin(), service_.upstreams.end(),
          [&upstream](const UpstreamSettings& other) { return other.name == upstream->name; });
      if (same == service_.upstreams.end()) {
        service_.upstreams.push_back(*std::move(upstream));
        continue;
      }
      Warn("-upstream " + upstream->name + " is given more than once: " + upstream->listen.Text() +
           " replaces " + same->listen.Text());
      *same = *std::move(upstream);
    }
    return Ok();
  }

  // ReadOurs reads what Consul does not have, and is checked as it comes.
  Status ReadOurs() {
    for (const GivenFlag& flag : line_.flags) {
      const Setting& setting = *FindFlag(flag.name);
      if (setting.consul || setting.held || std::holds_alternative<kind::Special>(setting.value))
        continue;
      // An address that is empty is one that is not given.
      if (flag.value.empty() && std::holds_alternative<kind::Address>(setting.value)) continue;
      if (const Status status = Set(flag.name, flag.value); !status) {
        return BadValue(flag.name, flag.value, status.error().message);
      }
    }
    if (const Status revoke = CheckOnRevoke(service_, "-revoke-grace 30s"); !revoke)
      return Preparing("-on-revoke: " + revoke.error().message);
    const StopAfter& app = settings_.stop_after;
    if (int{app.pid.has_value()} + int{!app.pidfile.empty()} + int{app.port.has_value()} > 1)
      return Preparing(
          "of -stop-after-pidfile, -stop-after-pid and -stop-after-port one is enough");
    if (settings_.admin) settings_.admin_from = "-admin-addr";
    if (settings_.metrics) settings_.metrics_from = "-metrics-addr";
    if (line_.Find("state-dir") == nullptr) StateDirFromEnvironment(environment_, &settings_);
    if (line_.Find("handover-dir") == nullptr) HandoverDirFromEnvironment(environment_, &settings_);
    if (line_.Find("confine-seccomp") == nullptr) {
      if (const auto bad = SeccompFromEnvironment(environment_, &settings_))
        return Preparing(std::string(bad->name) + ": " + bad->message);
    }
    settings_.take_over = line_.On("take-over");
    if (const Status status = CheckAdmin(settings_, "-metrics-addr", "-admin-allow-remote");
        !status)
      return Preparing("-admin-addr: " + status.error().message);
    if (!line_.Text("pprof-addr").empty()) {
      Warn(
          "-pprof-addr is ignored: there is no pprof here; -admin-addr serves /ready, /live and "
          "/status");
    }
    return Ok();
  }

  Status ReadAgent() {
    const auto given = [this](const Setting& setting) {
      return line_.Find(setting.flag) != nullptr;
    };
    if (const auto bad = AgentFromEnvironment(environment_, given, {settings_, service_})) {
      return Invalid(std::string(kConnecting) + bad->message + " (" + std::string(bad->name) + ')');
    }
    for (const Setting& setting : Table()) {
      if (setting.in != In::kAgent || !setting.consul) continue;
      const std::string* text = line_.Find(setting.flag);
      if (text == nullptr) continue;
      // An empty flag beats the environment too, as in Consul; an empty address is the default.
      if (text->empty() && std::holds_alternative<kind::AgentAddress>(setting.value)) continue;
      if (const Status status = Set(setting.flag, *text); !status) {
        return Invalid(std::string(kConnecting) + status.error().message + " (-" +
                       std::string(setting.flag) + ')');
      }
    }
    if (const Status status = CheckAgent(settings_.agent); !status) {
      return Invalid(std::string(kConnecting) + status.error().message);
    }
    if (!settings_.datacenter.empty()) {
      Warn(
          "-datacenter is ignored: certificates and intentions come from the agent's own "
          "datacenter; "
          "an upstream elsewhere is configured in the registration or in YAML, as datacenter");
    }
    return Ok();
  }

  // Named is one way to name services whose configuration the agent holds.
  struct Named {
    std::string_view flag;
    std::string ServiceSettings::*place;
    std::vector<std::string> ids;
    bool by_flag = false;
    std::string from() const {
      return by_flag ? '-' + std::string(flag) : std::string(FindFlag(flag)->variable);
    }
  };

  Named NamedBy(std::string_view flag, std::string ServiceSettings::*place) const {
    Named named{flag, place, {}, true};
    for (const GivenFlag& given : line_.flags) {
      if (given.name == flag && !given.value.empty()) named.ids.push_back(given.value);
    }
    if (!named.ids.empty()) return named;
    named.by_flag = false;
    std::string id = EnvironmentValue(environment_, FindFlag(flag)->variable);
    if (!id.empty()) named.ids.push_back(std::move(id));
    return named;
  }

  Status ReadWho() {
    const Named proxies = NamedBy("proxy-id", &ServiceSettings::proxy_id);
    Named sidecars = NamedBy("sidecar-for", &ServiceSettings::sidecar_for);
    const bool held = !proxies.ids.empty() || !sidecars.ids.empty();
    service_.service = line_.Text("service");
    if (!held && service_.service.empty()) {
      return Preparing(
          "-service or -proxy-id must be specified so that proxy can configure itself. "
          "(-sidecar-for, CONNECT_PROXY_ID and CONNECT_SIDECAR_FOR do too)");
    }
    // As in Consul, even against a flag: an ID of the environment goes before -sidecar-for, and a
    // flag goes before a variable.
    if (!proxies.ids.empty() && !sidecars.ids.empty() && !(proxies.by_flag && sidecars.by_flag)) {
      Warn("-sidecar-for " + authz::Shortened(sidecars.ids.front()) + " is ignored: -proxy-id " +
           authz::Shortened(proxies.ids.front()) + " wins over it");
      sidecars.ids.clear();
    }
    settings_.wait_for_agent = !line_.On("no-wait");
    if (!settings_.wait_for_agent && sidecars.ids.empty()) {
      settings_.wait_for_agent = true;
      Warn("-no-wait is ignored: it belongs to -sidecar-for");
    }
    if (held) {
      if (const Status status = CheckRegister(); !status) return status;
      IgnoreHeldFlags(proxies.ids.empty() ? sidecars.from() : proxies.from());
      for (const Named* named : {&proxies, static_cast<const Named*>(&sidecars)}) {
        if (const Status status = AddServices(*named); !status) return status;
      }
      return Ok();
    }
    if (const Status status = SetHeld("service"); !status) return status;
    if (const Status status = ReadListener(); !status) return status;
    if (const Status status = CheckRegister(); !status) return status;
    if (const Status status = ReadRegistration(); !status) return status;
    if (!service_.public_listen && service_.upstreams.empty()) {
      return Preparing(
          "-service has nothing to do: give -listen with -service-addr, or -upstream, or both");
    }
    settings_.services.push_back(service_);
    return Ok();
  }

  Status AddServices(const Named& named) {
    for (const std::string& id : named.ids) {
      ServiceSettings service = service_;
      service.*named.place = id;
      for (const ServiceSettings& other : settings_.services) {
        if (other.Name() != id) continue;
        return Preparing('-' + std::string(named.flag) + ' ' + authz::Shortened(id) + " is what -" +
                         (other.proxy_id.empty() ? "sidecar-for" : "proxy-id") + ' ' +
                         authz::Shortened(id) +
                         " is called already: each is a service of its own; leave one out");
      }
      settings_.services.push_back(std::move(service));
    }
    return Ok();
  }

  Status CheckRegister() const {
    if (!line_.On("register") || (!service_.service.empty() && !line_.Text("listen").empty()))
      return Ok();
    return Invalid(
        "Failed initializing registration: -register may only be specified with -service and "
        "-listen");
  }

  // IgnoreHeldFlags is for services whose configuration the agent holds.
  void IgnoreHeldFlags(const std::string& because) {
    std::string ignored = service_.service.empty() ? "" : "-service";
    for (const Setting& setting : Table()) {
      const std::string value = line_.Text(setting.flag);
      if (!setting.held || value.empty() || value == "false") continue;
      ignored += (ignored.empty() ? "-" : ", -") + std::string(setting.flag);
    }
    if (!ignored.empty()) {
      Warn("ignored, since " + because + " takes the configuration from the agent: " + ignored);
    }
    service_.service.clear();
    service_.upstreams.clear();
  }

  // SetHeld reads one of the flags that count only where the agent does not hold the configuration.
  Status SetHeld(std::string_view flag) {
    const std::string text = line_.Text(flag);
    if (text.empty()) return Ok();
    const Status status = Set(flag, text);
    return status ? Ok() : Preparing('-' + std::string(flag) + ": " + status.error().message);
  }

  Status ReadListener() {
    const bool app = !line_.Text("service-addr").empty();
    if (line_.Text("listen").empty()) {
      if (app) Warn("-service-addr is ignored without -listen");
      return Ok();
    }
    if (!app) {
      return Preparing(
          "-service-addr must be specified with -listen so the proxy knows the backend service "
          "address.");
    }
    if (Status status = SetHeld("listen"); !status) return status;
    service_.listen_from = "-listen";
    if (Status status = SetHeld("service-addr"); !status) return status;
    if (Reaches(*service_.local_app, *service_.public_listen)) {
      return Preparing("-service-addr " + service_.local_app->Text() + " is what -listen " +
                       service_.public_listen->Text() +
                       " listens on: the proxy would call itself; give one of them another port");
    }
    return Ok();
  }

  Status ReadRegistration() {
    if (!line_.On("register")) {
      if (!line_.Text("register-id").empty()) Warn("-register-id is ignored without -register");
      if (!line_.Text("advertise").empty())
        return Preparing("-advertise may only be specified with -register");
      return Ok();
    }
    for (const std::string_view flag : {"register", "register-id", "advertise"}) {
      if (Status status = SetHeld(flag); !status) return status;
    }
    if (service_.public_listen->kind == net::Address::Kind::kUnix) {
      return Preparing("-register needs a -listen of host:port: nobody can dial " +
                       service_.public_listen->Text() + " from elsewhere");
    }
    return Ok();
  }

  // CheckOverlaps names the two flags that want one port, before the kernel refuses the second.
  Status CheckOverlaps() const {
    struct Listener {
      std::string flag;
      const net::Address* address;
    };
    std::vector<Listener> listeners;
    if (service_.public_listen) listeners.push_back({"-listen", &*service_.public_listen});
    if (settings_.admin) listeners.push_back({"-admin-addr", &*settings_.admin});
    if (settings_.metrics) listeners.push_back({"-metrics-addr", &*settings_.metrics});
    for (const UpstreamSettings& upstream : service_.upstreams) {
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

  const CommandLine& line_;
  const Environment& environment_;
  Settings& settings_;
  ServiceSettings service_;
};

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
  const Result<CommandLine> line = ScanFlags(arguments, Specs());
  if (!line) return line.error();
  ParsedFlags parsed;
  parsed.help = line->help;
  if (parsed.help) return parsed;
  for (const GivenFlag& flag : line->flags) {
    if (FindFlag(flag.name)->secret) parsed.secret_arguments.push_back(flag.argument);
  }
  if (const Status status = Reader(*line, environment, &parsed.settings).Read(); !status)
    return status.error();
  WarnOfExposure(&parsed.settings);
  return parsed;
}

bool AsksForJson(const std::vector<std::string>& arguments) {
  return std::any_of(arguments.begin(), arguments.end(), [](std::string_view argument) {
    constexpr std::string_view kName = "-log-json";
    if (argument.starts_with("--")) argument.remove_prefix(1);
    if (!argument.starts_with(kName)) return false;
    argument.remove_prefix(kName.size());
    return argument.empty() ||
           (argument.front() == '=' && ParseGoBoolean(argument.substr(1)).value_or(false));
  });
}

std::string ConnectProxyUsage() {
  return "Usage: mooring connect proxy [options]\n\n"
         "  Runs a sidecar of a Consul service mesh until it is told to stop. One of -service,\n"
         "  -sidecar-for and -proxy-id is needed.\n\n"
         "    $ mooring connect proxy -service web -upstream db:8181\n"
         "    $ mooring connect proxy -service web -service-addr 127.0.0.1:8080 -listen :8443\n"
         "    $ mooring connect proxy -sidecar-for web-1\n"
         "    $ mooring connect proxy -sidecar-for web-1 -sidecar-for api-1\n\n"
         "  Durations are written 500ms, 5s or 1m30s, sizes 512KiB, 64MiB or 2GiB.\n\n" +
         GroupedUsage();
}

}  // namespace mooring::config
