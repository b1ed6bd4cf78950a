// The table of settings against all that is made of it: each entry is taken in each of its forms,
// has its default, and refuses what is out of its range by a message that names it.
#include "proxy/config/table.h"

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "proxy/config/flags.h"
#include "proxy/config/yaml.h"

namespace mooring::config {
namespace {

// Sample is a good text of one kind that is not the default, as ShowValue writes it, and texts that
// are refused.
struct Sample {
  std::string good;
  std::vector<std::string> bad;
};

Sample SampleOf(const Setting& setting) {
  struct Visitor {
    const Setting& setting;
    Sample operator()(const kind::Switch&) const {
      return {DefaultOf(setting) == "true" ? "false" : "true", {"maybe"}};
    }
    Sample operator()(const kind::Number& kind) const {
      return {std::to_string(kind.most),
              {std::to_string(kind.least - 1), std::to_string(kind.most + 1), "-1", "many"}};
    }
    Sample operator()(const kind::Duration& kind) const {
      Sample sample{"3m30s", {"5", "8761h", "soon"}};
      if (kind.zero == kind::Zero::kRefused) sample.bad.emplace_back("0");
      if (kind.check != nullptr) sample.bad.emplace_back("1ms");
      return sample;
    }
    Sample operator()(const kind::Size& kind) const {
      return {"33MiB",
              {std::to_string(kind.range.least - 1), std::to_string(kind.range.most + 1), "lots"}};
    }
    Sample operator()(const kind::Text&) const {
      if (setting.key == "select") return {"some", {"' padded'", "''"}};
      return {"some", {}};
    }
    Sample operator()(const kind::Name&) const { return {"some", {"a/b"}}; }
    Sample operator()(const kind::File&) const { return {"/some/file", {}}; }
    Sample operator()(const kind::Address&) const { return {"127.0.0.9:77", {"77", "a:77777"}}; }
    Sample operator()(const kind::AgentAddress&) const { return {"127.0.0.9:77", {"ftp://x"}}; }
    Sample operator()(const kind::Word<bool>&) const { return {"off", {"maybe"}}; }
    Sample operator()(const kind::Word<OnRevoke>&) const { return {"keep", {"maybe"}}; }
    Sample operator()(const kind::Word<Balance>&) const { return {"sticky", {"fair"}}; }
    Sample operator()(const kind::Word<NoEndpoint>&) const { return {"reset", {"close"}}; }
    Sample operator()(const kind::Word<MeshGateway>&) const { return {"local", {"near"}}; }
    Sample operator()(const kind::Word<OnDeparture>&) const { return {"close", {"maybe"}}; }
    Sample operator()(const kind::Word<LogLevel>&) const { return {"WARN", {"loud"}}; }
    Sample operator()(const kind::Word<log::Format>&) const { return {"json", {"xml"}}; }
    Sample operator()(const kind::Word<std::string>&) const {
      if (setting.in == In::kAccessLog) return {"journald", {"access.log", "on", "/"}};
      return {"10.0.0.5", {"10.0.0.5:80"}};
    }
    Sample operator()(const kind::Word<Seccomp>&) const { return {"kill", {"maybe"}}; }
    Sample operator()(const kind::Words&) const {
      if (setting.in == In::kConfine) return {"/srv/one,/srv/two", {"srv"}};
      return {"P-384", {"P-512"}};
    }
    Sample operator()(const kind::Special&) const { return {}; }
    Sample operator()(const kind::Section&) const { return {}; }
    Sample operator()(const kind::List&) const { return {}; }
  };
  return std::visit(Visitor{setting}, setting.value);
}

bool IsGeneric(const Setting& setting) { return !SampleOf(setting).good.empty(); }

bool Holds(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

std::string Shown(const Setting& setting, Settings settings) {
  ServiceSettings none;
  ServiceSettings& service = settings.services.empty() ? none : settings.services.front();
  UpstreamSettings upstream;
  if (!service.upstreams.empty()) upstream = service.upstreams.front();
  return ShowValue(setting.value, {settings, service, &upstream});
}

// Flags is a command line that is right, with one flag more.
std::vector<std::string> Flags(const Setting& setting, const std::string& value) {
  const std::string flag = '-' + std::string(setting.flag);
  std::vector<std::string> line{flag + '=' + value};
  if (flag == "-client-cert") line.emplace_back("-client-key=k");
  if (flag == "-client-key") line.emplace_back("-client-cert=c");
  if (flag == "-proxy-id" || flag == "-sidecar-for") return line;
  for (const char* other :
       {"-service=web", "-service-addr=127.0.0.1:2", "-listen=:1", "-register", "-upstream=db:3"}) {
    if (!std::string(other).starts_with(flag + '=')) line.emplace_back(other);
  }
  return line;
}

// File is a file that is right, with one key more or another value of it.
std::string File(const Setting& setting, const std::string& value) {
  using Keys = std::map<std::string, std::string>;
  std::map<In, Keys> keys{
      {In::kFile, {{"service", "web"}, {"register", "true"}}},
      {In::kPublicListener, {{"address", "127.0.0.1:1"}, {"local_app", "127.0.0.1:2"}}},
      {In::kUpstreams, {{"service", "db"}, {"listen", "127.0.0.1:3"}}}};
  const std::string key(setting.key);
  if (std::holds_alternative<kind::Words>(setting.value)) {
    const std::string line = key + ": [" + value + "]";
    return "proxy_id: a\n" + (setting.in == In::kFile ? line : "confine: {" + line + "}") + '\n';
  }
  if (setting.in == In::kFile && (key == "proxy_id" || key == "sidecar_for"))
    return key + ": " + value + '\n';
  if (setting.in == In::kServices) {
    return "services: [{service: web, upstreams: [{service: db, listen: 127.0.0.1:3}], " + key +
           ": " + value + "}]\n";
  }
  if (setting.in == In::kIdentity) {
    keys[In::kIdentity] = {{"certificate", "c"}, {"private_key", "k"}, {"roots", "r"}};
  }
  if (key == "query") keys[In::kUpstreams].erase("service");
  if (setting.in == In::kAdmin) {
    keys[In::kAdmin]["address"] = key == "tap" ? "unix:/run/admin.sock" : "127.0.0.1:4";
  }
  if (setting.in == In::kAccessLog) keys[In::kAccessLog]["to"] = "stdout";
  if (key == "client_cert") keys[In::kAgent]["client_key"] = "k";
  if (key == "client_key") keys[In::kAgent]["client_cert"] = "c";
  keys[setting.in][key] = value;
  std::string text;
  for (const auto& [in, values] : keys) {
    if (in == In::kFile) {
      for (const auto& [name, each] : values) text += name + ": " + each + '\n';
      continue;
    }
    std::string inner;
    for (const auto& [name, each] : values)
      inner += (inner.empty() ? "" : ", ") + name + ": " + each;
    const bool list = in == In::kUpstreams;
    text += std::string(SectionName(in)) + ": " + (list ? "[" : "") + "{" + inner + "}" +
            (list ? "]" : "") + '\n';
  }
  return text;
}

TEST_CASE("settings table: no key, flag, variable or Config key means two things") {
  std::set<std::pair<In, std::string_view>> keys;
  std::set<std::string_view> flags;
  std::set<std::string_view> variables;
  for (const Setting& setting : Table()) {
    INFO(PathOf(setting) << " -" << setting.flag << ' ' << setting.variable);
    CHECK(!setting.says.empty());
    CHECK_FALSE((setting.key.empty() && setting.flag.empty() && setting.variable.empty() &&
                 setting.config_key.empty()));
    if (!setting.key.empty()) CHECK(keys.emplace(setting.in, setting.key).second);
    if (!setting.flag.empty()) CHECK(flags.insert(setting.flag).second);
    if (!setting.variable.empty()) CHECK(variables.insert(setting.variable).second);
    // The agent says it at any time.
    if (!setting.config_key.empty()) CHECK(setting.change == Change::kRunning);
  }
}

TEST_CASE("settings table: each is taken as a flag, and is what was said") {
  for (const Setting& setting : Table()) {
    if (setting.flag.empty() || !IsGeneric(setting)) continue;
    INFO(setting.flag);
    const std::string good = SampleOf(setting).good;
    const auto parsed = ParseConnectProxy(Flags(setting, good), {});
    if (!parsed) FAIL_CHECK(parsed.error().message);
    if (parsed) CHECK(Shown(setting, parsed->settings) == good);
  }
}

TEST_CASE("settings table: each is taken as a key, and is what was said") {
  for (const Setting& setting : Table()) {
    if (setting.key.empty() || !IsGeneric(setting)) continue;
    const std::string good = SampleOf(setting).good;
    const std::string text = File(setting, good);
    INFO(text);
    const ParsedYaml parsed = ParseYaml(text, "/base", {});
    for (const Problem& problem : parsed.problems) FAIL_CHECK(problem.Text("f"));
    CHECK(Shown(setting, parsed.settings) == good);
  }
}

TEST_CASE(
    "settings table: each of the agent's is taken from its variable, by both, and a flag or key "
    "beats it") {
  for (const Setting& setting : Table()) {
    if (setting.variable.empty() || setting.in != In::kAgent) continue;
    INFO(setting.variable);
    const std::string good = SampleOf(setting).good;
    Environment environment{{std::string(setting.variable), good}};
    if (setting.key == "client_cert") environment["CONSUL_CLIENT_KEY"] = "k";
    if (setting.key == "client_key") environment["CONSUL_CLIENT_CERT"] = "c";
    const auto flags = ParseConnectProxy({"-proxy-id=a"}, environment);
    REQUIRE(flags);
    CHECK(Shown(setting, flags->settings) == good);
    const ParsedYaml yaml = ParseYaml("proxy_id: a\n", "/base", environment);
    CHECK(yaml.problems.empty());
    CHECK(Shown(setting, yaml.settings) == good);

    environment[std::string(setting.variable)] = std::holds_alternative<kind::Switch>(setting.value)
                                                     ? DefaultOf(setting)
                                                     : std::string("127.0.0.8:88");
    if (!setting.flag.empty()) {
      const auto beaten = ParseConnectProxy(Flags(setting, good), environment);
      REQUIRE(beaten);
      CHECK(Shown(setting, beaten->settings) == good);
    }
    if (!setting.key.empty()) {
      const ParsedYaml beaten = ParseYaml(File(setting, good), "/base", environment);
      CHECK(beaten.problems.empty());
      CHECK(Shown(setting, beaten.settings) == good);
    }
  }
}

TEST_CASE("settings table: what is out of range is refused as a flag, by name") {
  for (const Setting& setting : Table()) {
    if (setting.flag.empty()) continue;
    for (const std::string& bad : SampleOf(setting).bad) {
      const auto parsed = ParseConnectProxy(Flags(setting, bad), {});
      INFO(setting.flag << '=' << bad);
      REQUIRE_FALSE(parsed);
      INFO(parsed.error().message);
      // Consul's words for one of them.
      const bool named = Holds(parsed.error().message, '-' + std::string(setting.flag)) ||
                         parsed.error().message.starts_with("Invalid log level");
      CHECK(named);
    }
  }
}

TEST_CASE("settings table: what is out of range is refused as a key, with its path and place") {
  for (const Setting& setting : Table()) {
    if (setting.key.empty()) continue;
    for (const std::string& bad : SampleOf(setting).bad) {
      const std::string text = File(setting, bad);
      INFO(text);
      const std::vector<Problem> problems = ParseYaml(text, "/base", {}).problems;
      REQUIRE(problems.size() == 1);
      INFO(problems[0].message);
      CHECK(problems[0].line > 0);
      const std::string element =
          setting.in == In::kUpstreams || setting.in == In::kServices ? "[0]" : "";
      const std::string section(SectionName(setting.in));
      CHECK(problems[0].message.starts_with((section.empty() ? "" : section + element + '.') +
                                            std::string(setting.key) + ": "));
    }
  }
}

TEST_CASE(
    "settings table: beside services stand the process's and the defaults of each, within them "
    "what is one service's") {
  const auto problems = [](const std::string& text) {
    return ParseYaml(text, "/base", {}).problems;
  };
  for (const Setting& setting : Table()) {
    const bool own = setting.in == In::kFile || setting.in == In::kPublicListener;
    if (!own || setting.key.empty() || !IsGeneric(setting)) continue;
    INFO(PathOf(setting));
    const std::string good = SampleOf(setting).good;
    const std::string value =
        std::holds_alternative<kind::Words>(setting.value) ? '[' + good + ']' : good;
    std::string line = std::string(setting.key) + ": " + value;
    if (setting.in == In::kPublicListener) line = "public_listener: {" + line + '}';
    const std::string beside = "services: [{sidecar_for: one}]\n" + line + '\n';
    const std::string within = "services: [{sidecar_for: one, " + line + "}]\n";
    if (setting.of == Of::kEachService) {
      CHECK(Shown(setting, ParseYaml(beside, "/base", {}).settings) == good);
      CHECK(Shown(setting, ParseYaml(within, "/base", {}).settings) == good);
    }
    const bool beside_is_good = setting.of != Of::kService;
    CHECK(problems(beside).size() == (beside_is_good ? 0 : 1));
    if (!beside_is_good) CHECK(Holds(problems(beside)[0].message, "cannot stand beside services"));
    if (setting.of == Of::kProcess)
      CHECK(Holds(problems(within)[0].message, "is the whole process's"));
  }
}

TEST_CASE("settings table: what nobody says has the default that the texts show, by both forms") {
  const auto flags = ParseConnectProxy({"-service=web", "-upstream=db:3"}, {});
  REQUIRE(flags);
  const ParsedYaml yaml =
      ParseYaml("service: web\nupstreams: [{service: db, listen: 127.0.0.1:3}]\n", "/base", {});
  REQUIRE(yaml.problems.empty());
  for (const Setting& setting : Table()) {
    if (setting.in == In::kUpstreams || setting.key == "service") continue;
    INFO(PathOf(setting));
    CHECK(Shown(setting, flags->settings) == DefaultOf(setting));
    CHECK(Shown(setting, yaml.settings) == DefaultOf(setting));
  }
}

TEST_CASE(
    "settings table: the usage text has each flag with its type, its default and its variable") {
  const std::string usage = ConnectProxyUsage();
  for (const Setting& setting : Table()) {
    if (setting.flag.empty() && setting.variable.empty()) continue;
    INFO(setting.flag << ' ' << setting.variable);
    const std::string_view type = TypeOf(setting.value);
    const std::string begin = setting.flag.empty()
                                  ? "\n  " + std::string(setting.variable) + '\n'
                                  : "\n  -" + std::string(setting.flag) +
                                        (type.empty() ? "\n" : "=<" + std::string(type) + ">\n");
    const std::size_t at = usage.find(begin);
    REQUIRE(at != std::string::npos);
    std::string paragraph = usage.substr(at, usage.find("\n\n", at) - at);
    for (std::size_t i = 0; (i = paragraph.find("\n     ", i)) != std::string::npos;)
      paragraph.replace(i, 6, " ");
    INFO(paragraph);
    CHECK(Holds(paragraph, Sentence(setting, Form::kFlag).substr(1)));
    const std::string standard = DefaultOf(setting);
    if (!standard.empty() && standard != "false")
      CHECK(Holds(paragraph, "Default: " + standard + '.'));
    if (!setting.variable.empty()) CHECK(Holds(paragraph, std::string(setting.variable)));
    if (!setting.config_key.empty())
      CHECK(Holds(paragraph, std::string(setting.config_key) + ", at any time"));
  }
}

TEST_CASE("settings table: a sentence names another setting as its form spells it") {
  const Setting& setting = *FindKey(In::kFile, "max_handshakes");
  CHECK(Holds(Sentence(setting, Form::kFlag), "from -memory-limit"));
  CHECK(Holds(Sentence(setting, Form::kYaml), "from memory_limit"));
  for (const Setting& each : Table()) {
    for (const Form form : {Form::kFlag, Form::kYaml})
      CHECK_FALSE(Holds(Sentence(each, form), "{"));
  }
}

}  // namespace
}  // namespace mooring::config
