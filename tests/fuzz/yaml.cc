// yaml: a file of settings. Every mistake has a place in it, and what is taken is different from
// itself in nothing.
#include "proxy/config/yaml.h"

#include <string>

#include "proxy/config/difference.h"
#include "tests/fuzz/targets.h"

namespace mooring::fuzz {
namespace {

// Places are counted by characters or bytes; no file has more of either in a line than bytes in
// all.
void CheckPlaces(const config::ParsedYaml& parsed, std::string_view text) {
  const auto lines =
      1 + std::count_if(text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; });
  int last = 0;
  for (const config::Problem& problem : parsed.problems) {
    const std::string said = problem.Text("f");
    FUZZ_REQUIRE(!problem.message.empty(), text);
    FUZZ_REQUIRE(problem.line >= 0 && problem.line <= lines + 1, said);
    FUZZ_REQUIRE(problem.column >= 0, said);
    FUZZ_REQUIRE(static_cast<std::size_t>(problem.column) <= text.size() + 2, said);
    FUZZ_REQUIRE(problem.line >= last, said);
    last = problem.line;
  }
  for (const config::NamedFile& file : parsed.files)
    FUZZ_REQUIRE(file.path.starts_with('/') && !file.key.empty(), file.path);
}

}  // namespace

void yaml(Input input) {
  const std::string_view text = TextOf(input);
  const config::Environment environment{{"CONSUL_HTTP_ADDR", "http://127.0.0.1:8500"}};
  const auto parsed = config::ParseYaml(text, "/base", environment);
  CheckPlaces(parsed, text);
  const auto again = config::ParseYaml(text, "/base", environment);
  FUZZ_REQUIRE(parsed.problems.size() == again.problems.size(), text);
  if (!parsed.problems.empty()) return;
  for (const auto& difference : config::DifferencesOf(parsed.settings, again.settings))
    FUZZ_REQUIRE(difference.setting.empty(), difference.Text());
  // What a reload by the same file would change is nothing, by an empty one it can be said.
  const config::Settings none;
  for (const auto& difference : config::DifferencesOf(none, parsed.settings))
    FUZZ_REQUIRE(!difference.Text().empty(), difference.setting);
}

}  // namespace mooring::fuzz
