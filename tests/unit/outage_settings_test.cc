// The settings about outages and revocation: the same by flag and by YAML key.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "proxy/config/flags.h"
#include "proxy/config/size.h"
#include "proxy/config/yaml.h"

namespace mooring::config {
namespace {

using std::chrono::milliseconds;

const std::string kService = "service: web\nupstreams: [{service: db, listen: 127.0.0.1:1}]\n";

Settings Flags(std::vector<std::string> more, const Environment& environment = {}) {
  std::vector<std::string> all{"-service", "web", "-upstream", "db:1"};
  all.insert(all.end(), more.begin(), more.end());
  const Result<ParsedFlags> parsed = ParseConnectProxy(all, environment);
  if (!parsed) FAIL(parsed.error().message);
  return parsed->settings;
}

std::string FlagsProblem(std::vector<std::string> more) {
  std::vector<std::string> all{"-service", "web", "-upstream", "db:1"};
  all.insert(all.end(), more.begin(), more.end());
  const Result<ParsedFlags> parsed = ParseConnectProxy(all, {});
  return parsed ? "" : parsed.error().message;
}

Settings Yaml(const std::string& more, const Environment& environment = {}) {
  const ParsedYaml parsed = ParseYaml(kService + more, "/base", environment);
  for (const Problem& problem : parsed.problems) FAIL_CHECK(problem.Text("f"));
  return parsed.settings;
}

std::string YamlProblem(const std::string& more) {
  const ParsedYaml parsed = ParseYaml(kService + more, "/base", {});
  return parsed.problems.empty() ? "" : parsed.problems.front().Text("f");
}

bool Holds(const std::string& text, const char* part) {
  INFO(text);
  const bool found = text.find(part) != std::string::npos;
  CHECK(found);
  return found;
}

TEST_CASE("outage settings: flags and YAML say the same") {
  for (const Settings& settings :
       {Flags({"-state-dir", "/var/lib/m", "-cache-private-key=false", "-max-stale", "5m",
               "-on-revoke", "keep", "-revoke-grace", "3s", "-max-connection-age", "1h",
               "-allow-core", "-max-answer-size", "8MiB", "-max-agent-connections", "20",
               "-tls-resumption", "off"}),
        Yaml("state_dir: /var/lib/m\ncache_private_key: false\nmax_stale: 5m\non_revoke: "
             "keep\nrevoke_grace: 3s\n"
             "max_connection_age: 1h\nallow_core: true\ntls_resumption: off\nagent: "
             "{max_answer_size: 8MiB, max_agent_connections: 20}\n")}) {
    CHECK(settings.state_dir == "/var/lib/m");
    CHECK_FALSE(settings.state_dir_from_environment);
    CHECK_FALSE(settings.cache_private_key);
    CHECK(settings.max_stale == milliseconds(300'000));
    CHECK(settings.services[0].on_revoke == OnRevoke::kKeep);
    CHECK(settings.services[0].revoke_grace == milliseconds(3'000));
    CHECK(settings.services[0].max_connection_age == milliseconds(3'600'000));
    CHECK(settings.allow_core);
    CHECK(settings.agent.max_answer_size == std::size_t{8} << 20);
    CHECK(settings.agent.max_connections == 20);
    CHECK_FALSE(settings.services[0].tls_resumption);
  }
}

TEST_CASE(
    "outage settings: by default the key is kept, revoked connections end, no core is written") {
  for (const Settings& settings : {Flags({}), Yaml("")}) {
    CHECK(settings.state_dir.empty());
    CHECK(settings.cache_private_key);
    CHECK(settings.max_stale.count() == 0);
    CHECK(settings.services[0].on_revoke == OnRevoke::kClose);
    CHECK(settings.services[0].revoke_grace.count() == 0);
    CHECK(settings.services[0].max_connection_age.count() == 0);
    CHECK_FALSE(settings.allow_core);
    CHECK(settings.agent.max_answer_size == std::size_t{64} << 20);
    CHECK(settings.agent.max_connections == 8);
    CHECK(settings.services[0].tls_resumption);
  }
}

TEST_CASE("outage settings: systemd's state directory is the default, and a setting beats it") {
  const Environment systemd{{"STATE_DIRECTORY", "/var/lib/first:/var/lib/second"}};
  for (const Settings& settings : {Flags({}, systemd), Yaml("", systemd)}) {
    CHECK(settings.state_dir == "/var/lib/first");
    CHECK(settings.state_dir_from_environment);
  }
  for (const Settings& settings :
       {Flags({"-state-dir", "/own"}, systemd), Yaml("state_dir: /own\n", systemd)}) {
    CHECK(settings.state_dir == "/own");
    CHECK_FALSE(settings.state_dir_from_environment);
  }
  CHECK(Flags({"-state-dir="}, systemd).state_dir.empty());
  CHECK(Yaml("state_dir: here\n").state_dir == "/base/here");
}

TEST_CASE("outage settings: bad values are refused with the cure") {
  CHECK(Holds(FlagsProblem({"-on-revoke", "cut"}), "none of close, quiet and keep"));
  CHECK(Holds(YamlProblem("on_revoke: cut\n"), "none of close, quiet and keep"));
  CHECK(Holds(FlagsProblem({"-tls-resumption", "false"}), "neither on nor off"));
  CHECK(Holds(YamlProblem("tls_resumption: no\n"), "neither on nor off"));
  CHECK(Holds(FlagsProblem({"-max-stale", "30s"}), "2m or more"));
  CHECK(Holds(YamlProblem("max_stale: 30s\n"), "2m or more"));
  CHECK(Holds(FlagsProblem({"-max-answer-size", "lots"}), "such as 64MiB"));
  CHECK(Holds(YamlProblem("agent: {max_answer_size: 2GiB}\n"), "such as 64MiB"));
  for (const char* number : {"5", "151", "-1", "8x"}) {
    INFO(number);
    CHECK(Holds(FlagsProblem({"-max-agent-connections", number}), "from 6 to 150"));
    CHECK(Holds(YamlProblem(std::string("agent: {max_agent_connections: ") + number + "}\n"),
                "6 to 150"));
  }
}

TEST_CASE("sizes: bytes, KiB and MiB within bounds") {
  CHECK(*ParseSize("65536") == 65536);
  CHECK(*ParseSize("512KiB") == std::size_t{512} << 10);
  CHECK(*ParseSize("1024MiB") == std::size_t{1} << 30);
  for (const char* bad : {"", "MiB", "-1", "1.5MiB", "64 MiB", "64mb", "100", "0", "1025MiB",
                          "99999999999999999999", "18446744073709551615MiB"}) {
    INFO(bad);
    CHECK_FALSE(ParseSize(bad));
  }
}

}  // namespace
}  // namespace mooring::config
