#include "proxy/config/yaml.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "authz/text.h"
#include "proxy/config/agent.h"
#include "proxy/config/checks.h"
#include "proxy/config/table.h"
#include "proxy/config/yaml_document.h"
#include "proxy/config/yaml_mapping.h"
#include "proxy/config/yaml_service.h"
#include "proxy/config/yaml_values.h"

namespace mooring::config {
namespace {

bool All(const Setting&) { return true; }
bool OfTheProcess(const Setting& setting) { return setting.of == Of::kProcess; }
bool OfEachService(const Setting& setting) { return setting.of == Of::kEachService; }

// SchemaReader reads one file's tree into Settings. Each key is read once, since a second read
// would report its mistake again.
class SchemaReader final {
 public:
  SchemaReader(std::string_view base_dir, const Environment& environment, ParsedYaml* parsed)
      : reading_{base_dir, &parsed->files},
        environment_(environment),
        settings_(parsed->settings),
        problems_(&parsed->problems) {}

  void Read(const YamlNode& root) {
    const YamlMapping file(root, "", KeysOf(In::kFile), problems_);
    if (!file.IsMapping()) return;
    if (file.Has("services")) {
      ReadServices(file);
    } else {
      ReadYamlService(file, reading_, {}, &settings_, &listeners_);
    }
    ReadProcess(file);
    ReadAccessLog(file);
    ReadConfine(file);
    ReadStopAfter(file);
    CheckYamlListeners(listeners_);
    ReadAgent(file);
  }

 private:
  void ReadServices(const YamlMapping& file) {
    const ServiceSettings defaults = ReadDefaults(file);
    std::vector<std::string_view> keys = KeysOf(In::kFile);
    const std::vector<std::string_view> own = KeysOf(In::kServices);
    keys.insert(keys.end(), own.begin(), own.end());
    const std::vector<YamlMapping> services = file.Mappings("services", keys);
    for (const YamlMapping& service : services) {
      for (const Setting& setting : Table()) {
        if (setting.in != In::kFile || setting.of != Of::kProcess || !service.Has(setting.key))
          continue;
        service.Report(setting.key,
                       "is the whole process's; write it at the top level of the file");
      }
      ReadYamlService(service, reading_, defaults, &settings_, &listeners_);
    }
    CheckNames(services);
  }

  // ReadDefaults reads what the top level says for each service, and refuses what only one can
  // have.
  ServiceSettings ReadDefaults(const YamlMapping& file) {
    ServiceSettings defaults;
    const Target target{settings_, defaults};
    RefuseOwn(file, In::kFile);
    ReadKeys(file, In::kFile, reading_, target, OfEachService);
    if (const auto listener = file.Mapping("public_listener", KeysOf(In::kPublicListener))) {
      RefuseOwn(*listener, In::kPublicListener);
      ReadKeys(*listener, In::kPublicListener, reading_, target, OfEachService);
    }
    return defaults;
  }

  static void RefuseOwn(const YamlMapping& mapping, In in) {
    for (const Setting& setting : Table()) {
      if (setting.in != in || setting.of != Of::kService || !mapping.Has(setting.key)) continue;
      mapping.Report(setting.key,
                     "cannot stand beside services; move it into the one that it belongs to");
    }
  }

  // CheckNames reports each service that is called as another one already is.
  void CheckNames(const std::vector<YamlMapping>& mappings) {
    const std::vector<ServiceSettings>& services = settings_.services;
    const auto place = [&](std::size_t i) { return mappings[i].PlaceOf(NameKey(services[i])); };
    for (std::size_t i = 0; i < services.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (services[i].Name().empty() || services[i].Name() != services[j].Name()) continue;
        mappings[i].Report(NameKey(services[i]), '"' + authz::Shortened(services[i].Name()) +
                                                     "\" is what " + place(j) +
                                                     " is called already; keep one of them");
        break;
      }
    }
  }

  static std::string_view NameKey(const ServiceSettings& service) {
    return !service.service.empty()    ? "service"
           : !service.proxy_id.empty() ? "proxy_id"
                                       : "sidecar_for";
  }

  void ReadProcess(const YamlMapping& file) {
    ServiceSettings unused;
    const Target target{settings_, unused};
    ReadKeys(file, In::kFile, reading_, target, OfTheProcess);
    if (!file.Has("state_dir")) StateDirFromEnvironment(environment_, &settings_);
    if (!file.Has("handover_dir")) HandoverDirFromEnvironment(environment_, &settings_);
    settings_.wait_for_agent = !file.Boolean("no_wait").value_or(false);
    const bool looks_up =
        std::any_of(settings_.services.begin(), settings_.services.end(),
                    [](const ServiceSettings& service) { return !service.sidecar_for.empty(); });
    if (file.Has("no_wait") && !looks_up)
      file.Report("no_wait", "belongs to sidecar_for, which is not there");
    if (const auto admin = file.Mapping("admin", KeysOf(In::kAdmin))) {
      if (!admin->Has("address")) admin->Report("address", "is required");
      ReadKeys(*admin, In::kAdmin, reading_, target, All);
      if (settings_.admin_tap && settings_.admin &&
          settings_.admin->kind != net::Address::Kind::kUnix) {
        admin->Report("tap",
                      "is for an admin port that is a unix socket: address: "
                      "unix:/run/mooring/admin.sock");
      }
      if (settings_.admin) {
        settings_.admin_from = admin->PlaceOf("address");
        listeners_.push_back({*admin, "address", *settings_.admin});
      }
      if (const Status status =
              CheckAdmin(settings_, "metrics.address", "admin.allow_remote: true");
          !status)
        admin->Report("address", status.error().message);
    }
    if (const auto metrics = file.Mapping("metrics", KeysOf(In::kMetrics))) {
      ReadKeys(*metrics, In::kMetrics, reading_, target, All);
      if (settings_.metrics) {
        settings_.metrics_from = metrics->PlaceOf("address");
        listeners_.push_back({*metrics, "address", *settings_.metrics});
      }
    }
  }

  void ReadAccessLog(const YamlMapping& file) {
    const auto access_log = file.Mapping("access_log", KeysOf(In::kAccessLog));
    if (!access_log) return;
    ServiceSettings unused;
    if (!access_log->Has("to")) access_log->Report("to", "is required");
    ReadKeys(*access_log, In::kAccessLog, reading_, {settings_, unused}, All);
  }

  void ReadConfine(const YamlMapping& file) {
    const auto confine = file.Mapping("confine", KeysOf(In::kConfine));
    ServiceSettings unused;
    if (confine) ReadKeys(*confine, In::kConfine, reading_, {settings_, unused}, All);
    if (confine && confine->Has("seccomp")) return;
    if (const auto bad = SeccompFromEnvironment(environment_, &settings_))
      problems_->push_back({0, 0, std::string(bad->name) + ": " + bad->message});
  }

  void ReadStopAfter(const YamlMapping& file) {
    const auto app = file.Mapping("stop_after", KeysOf(In::kStopAfter));
    if (!app) return;
    ServiceSettings unused;
    ReadKeys(*app, In::kStopAfter, reading_, {settings_, unused}, All);
    const std::vector<std::string_view> keys = KeysOf(In::kStopAfter);
    const auto given = std::count_if(keys.begin(), keys.end(),
                                     [&app](std::string_view key) { return app->Has(key); });
    if (given != 1) app->ReportWhole("takes one of pidfile, pid and port");
  }

  // ReadAgent comes last: the environment is looked at only if something is to come from the agent.
  void ReadAgent(const YamlMapping& file) {
    const Environment nothing;
    const Environment& environment = settings_.NeedsAgent() ? environment_ : nothing;
    const std::optional<YamlMapping> mapping = file.Mapping("agent", KeysOf(In::kAgent));
    const std::size_t problems_before = problems_->size();
    ServiceSettings unused;
    const Target target{settings_, unused};
    const auto given = [&](const Setting& setting) { return mapping && mapping->Has(setting.key); };
    if (const auto bad = AgentFromEnvironment(environment, given, target)) {
      problems_->push_back({0, 0, std::string(bad->name) + ": " + bad->message});
    }
    if (mapping) ReadAgentKeys(*mapping, target);
    if (problems_->size() > problems_before) return;
    const Status status = CheckAgent(settings_.agent);
    if (!status && mapping) mapping->Report("", status.error().message);
    if (!status && !mapping) {
      problems_->push_back(
          {0, 0, "the agent's settings of the environment: " + status.error().message});
    }
  }

  void ReadAgentKeys(const YamlMapping& mapping, const Target& target) {
    AgentSettings& agent = settings_.agent;
    // Of a pair the file replaces the environment's other half, too: half of each is none, and a
    // token file of the environment would beat the file's token.
    struct Pair {
      std::string_view one, other;
      std::string* values[2];
    };
    const std::array<Pair, 3> pairs{
        {{"token", "token_file", {&agent.token, &agent.token_file}},
         {"client_cert", "client_key", {&agent.tls.client_cert, &agent.tls.client_key}},
         {"ca_file", "ca_path", {&agent.tls.ca_file, &agent.tls.ca_path}}}};
    for (const Pair& pair : pairs) {
      if (!mapping.Has(pair.one) && !mapping.Has(pair.other)) continue;
      for (std::string* value : pair.values) value->clear();
    }
    if (mapping.Has("token") && mapping.Has("token_file")) {
      mapping.Report("token", "cannot stand beside token_file, which would beat it; keep one");
    }
    ReadKeys(mapping, In::kAgent, reading_, target, All);
  }

  const YamlReading reading_;
  const Environment& environment_;
  Settings& settings_;
  std::vector<Problem>* problems_;
  std::vector<YamlListener> listeners_;
};

}  // namespace

ParsedYaml ParseYaml(std::string_view text, std::string_view base_dir,
                     const Environment& environment) {
  ParsedYaml parsed;
  YamlDocument document = ReadYamlDocument(text);
  parsed.problems = std::move(document.problems);
  if (document.complete && document.root.kind == YamlNode::Kind::kNull) {
    parsed.problems.push_back(
        {0, 0, "the file is empty; see examples/mooring.yaml for what it holds"});
  } else if (document.complete) {
    SchemaReader(base_dir, environment, &parsed).Read(document.root);
  }
  SortByPlace(&parsed.problems);
  if (parsed.problems.empty()) WarnOfExposure(&parsed.settings);
  return parsed;
}

}  // namespace mooring::config
