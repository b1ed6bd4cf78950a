// examples/mooring.yaml against the code: every key, with a comment, and its default where it has
// one.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/config/reference.h"
#include "proxy/config/table.h"
#include "proxy/config/yaml.h"

namespace mooring::config {
namespace {

// ReferenceLine is one line, split by the file's own rules: `#key` shows a default, `#or key` an
// alternative, `# ` begins a comment.
struct ReferenceLine {
  enum class Kind { kOther, kComment, kPlain, kDefault, kAlternative };
  Kind kind = Kind::kOther;
  std::string indent;
  std::string rest;  // without the mark
  std::string key;   // empty for comments, and list elements that are mappings in braces
};

bool IsKeyByte(char c) { return (c >= 'a' && c <= 'z') || c == '_'; }

ReferenceLine Split(const std::string& line) {
  ReferenceLine split;
  const std::size_t start = std::min(line.find_first_not_of(' '), line.size());
  split.indent = line.substr(0, start);
  split.rest = line.substr(start);
  if (split.rest.empty()) return split;
  if (split.rest == "#" || split.rest.starts_with("# ")) {
    split.kind = ReferenceLine::Kind::kComment;
    return split;
  }
  split.kind = ReferenceLine::Kind::kPlain;
  if (split.rest.starts_with("#or ")) {
    split.kind = ReferenceLine::Kind::kAlternative;
    split.rest.erase(0, 4);
  } else if (split.rest.starts_with('#')) {
    split.kind = ReferenceLine::Kind::kDefault;
    split.rest.erase(0, 1);
  }
  const std::size_t key = split.rest.starts_with("- ") ? 2 : 0;
  const auto begin = split.rest.begin() + static_cast<std::ptrdiff_t>(key);
  const auto end = std::find_if_not(begin, split.rest.end(), IsKeyByte);
  if (end != split.rest.end() && *end == ':') split.key = std::string(begin, end);
  return split;
}

std::vector<std::string> Lines() {
  std::ifstream file(std::string(MOORING_SOURCE_ROOT) + "/examples/mooring.yaml");
  REQUIRE(file.good());
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

Settings Parse(const std::string& text) {
  const ParsedYaml parsed = ParseYaml(text, "/base", {});
  for (const Problem& problem : parsed.problems) FAIL_CHECK(problem.Text("mooring.yaml"));
  return parsed.settings;
}

void CheckDefaults(const Settings& settings) {
  Settings defaults;
  defaults.services.emplace_back();
  CHECK(settings.services[0].handshake_timeout == defaults.services[0].handshake_timeout);
  CHECK(settings.services[0].connect_timeout == defaults.services[0].connect_timeout);
  CHECK(settings.services[0].attempts == defaults.services[0].attempts);
  CHECK(settings.services[0].attempt_delay == defaults.services[0].attempt_delay);
  CHECK(settings.services[0].early_close == defaults.services[0].early_close);
  CHECK(settings.services[0].probe_interval == defaults.services[0].probe_interval);
  CHECK(settings.services[0].local_connect_timeout == defaults.services[0].local_connect_timeout);
  CHECK(settings.services[0].idle_timeout == defaults.services[0].idle_timeout);
  CHECK(settings.drain_delay == defaults.drain_delay);
  CHECK(settings.drain_time == defaults.drain_time);
  CHECK(settings.drain_quiet == defaults.drain_quiet);
  CHECK(settings.workers == defaults.workers);
  CHECK(settings.log_level == defaults.log_level);
  CHECK(settings.log_json == defaults.log_json);
  CHECK(settings.agent.address == defaults.agent.address);
  CHECK(settings.agent.https == defaults.agent.https);
  CHECK(settings.agent.stale == defaults.agent.stale);
  CHECK(settings.agent.tls.verify == defaults.agent.tls.verify);
  CHECK(settings.agent.max_answer_size == defaults.agent.max_answer_size);
  CHECK(settings.agent.max_connections == defaults.agent.max_connections);
  CHECK(settings.cache_private_key == defaults.cache_private_key);
  CHECK(settings.max_stale == defaults.max_stale);
  CHECK(settings.services[0].on_revoke == defaults.services[0].on_revoke);
  CHECK(settings.services[0].revoke_grace == defaults.services[0].revoke_grace);
  CHECK(settings.services[0].max_connection_age == defaults.services[0].max_connection_age);
  CHECK(settings.allow_core == defaults.allow_core);
  CHECK(settings.services[0].tls_resumption == defaults.services[0].tls_resumption);
  CHECK(settings.services[0].tls_groups == defaults.services[0].tls_groups);
  CHECK(settings.services[0].passing_only == defaults.services[0].passing_only);
  CHECK(settings.services[0].on_departure == defaults.services[0].on_departure);
  CHECK(settings.services[0].departure_grace == defaults.services[0].departure_grace);
}

std::vector<std::string_view> AllKeys() {
  std::vector<std::string_view> all;
  for (const Setting& setting : Table()) {
    if (!setting.key.empty()) all.push_back(setting.key);
  }
  return all;
}

template <typename Container>
bool Holds(const Container& container, std::string_view key) {
  return std::find(container.begin(), container.end(), key) != container.end();
}

TEST_CASE(
    "reference file: it is what the table says; `mooring help settings > examples/mooring.yaml` "
    "writes it again") {
  const std::vector<std::string> lines = Lines();
  std::istringstream made(ReferenceFile());
  std::size_t at = 0;
  for (std::string line; std::getline(made, line); ++at) {
    REQUIRE(at < lines.size());
    CHECK(lines[at] == line);
  }
  CHECK(at == lines.size());
}

TEST_CASE("reference file: it is right as it is") {
  std::string text;
  for (const std::string& line : Lines()) text += line + '\n';
  const Settings settings = Parse(text);
  CheckDefaults(settings);
  CHECK(settings.warnings.empty());
}

TEST_CASE("reference file: the defaults in comments are right, and are the defaults") {
  std::string text;
  for (const std::string& line : Lines()) {
    const ReferenceLine split = Split(line);
    if (split.kind != ReferenceLine::Kind::kAlternative) text += split.indent + split.rest + '\n';
  }
  const Settings settings = Parse(text);
  CheckDefaults(settings);
  CHECK(settings.services[0].identity);
  CHECK(settings.admin);
  CHECK(settings.services[0].register_self);
  REQUIRE(settings.services[0].intentions);
  CHECK(settings.services[0].intentions->fallback == StaticIntentions().fallback);
  CHECK(settings.services[0].intentions->rules.size() == 1);
  REQUIRE(settings.services[0].upstreams.size() == 1);
  CHECK(settings.services[0].upstreams[0].connect_timeout == ServiceSettings().connect_timeout);
  CHECK(settings.services[0].upstreams[0].attempts == ServiceSettings().attempts);
  CHECK(settings.services[0].upstreams[0].attempt_delay == ServiceSettings().attempt_delay);
  CHECK(settings.services[0].upstreams[0].early_close == ServiceSettings().early_close);
  CHECK(settings.services[0].upstreams[0].probe_interval == ServiceSettings().probe_interval);
  CHECK(settings.services[0].upstreams[0].idle_timeout == ServiceSettings().idle_timeout);
  CHECK(settings.services[0].upstreams[0].tls_resumption == ServiceSettings().tls_resumption);
  CHECK(settings.services[0].upstreams[0].passing_only == ServiceSettings().passing_only);
  CHECK(settings.services[0].upstreams[0].on_departure == ServiceSettings().on_departure);
  CHECK(settings.services[0].upstreams[0].departure_grace == ServiceSettings().departure_grace);
}

TEST_CASE("reference file: every key is there, right below a comment of its own") {
  std::vector<std::string> commented;
  std::optional<ReferenceLine> previous;
  for (const std::string& line : Lines()) {
    ReferenceLine split = Split(line);
    if (!split.key.empty() && previous && previous->kind == ReferenceLine::Kind::kComment) {
      commented.push_back(split.key);
    }
    previous = std::move(split);
  }
  for (const std::string_view key : AllKeys()) {
    INFO(key);
    // As often as there are mappings that have this key.
    const std::vector<std::string_view> all = AllKeys();
    CHECK(std::count(commented.begin(), commented.end(), key) ==
          std::count(all.begin(), all.end(), key));
  }
}

TEST_CASE("reference file: no line shows an unknown key") {
  for (const std::string& line : Lines()) {
    const ReferenceLine split = Split(line);
    INFO(line);
    if (!split.key.empty()) CHECK(Holds(AllKeys(), split.key));
  }
}

TEST_CASE("reference file: a setting beyond Consul's is spelt as its flag") {
  for (const Setting& setting : Table()) {
    if (setting.consul || setting.flag.empty() || setting.key.empty() || setting.in == In::kAdmin ||
        setting.in == In::kMetrics)
      continue;
    std::string flag(setting.key);
    if (setting.in == In::kAccessLog) flag = flag == "to" ? "access-log" : "access-log-" + flag;
    if (setting.in == In::kConfine) flag = "confine-" + flag;
    if (setting.in == In::kStopAfter) flag = "stop-after-" + flag;
    std::replace(flag.begin(), flag.end(), '_', '-');
    CHECK(setting.flag == flag);
  }
}

}  // namespace
}  // namespace mooring::config
