// flags: a command line of `mooring connect proxy`, an argument a line; lines that begin with `$`
// are its environment.
#include "proxy/config/flags.h"

#include <string>
#include <vector>

#include "proxy/config/difference.h"
#include "tests/fuzz/targets.h"

namespace mooring::fuzz {

void flags(Input input) {
  std::vector<std::string> arguments;
  config::Environment environment;
  std::string_view text = TextOf(input);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t equals = line.find('=');
    if (line.starts_with('$') && equals != std::string_view::npos)
      environment[std::string(line.substr(1, equals - 1))] = line.substr(equals + 1);
    else
      arguments.emplace_back(line);
  }
  const auto parsed = config::ParseConnectProxy(arguments, environment);
  const auto again = config::ParseConnectProxy(arguments, environment);
  (void)config::AsksForJson(arguments);
  for (const std::string& argument : arguments) (void)config::ParseUpstreamFlag(argument);
  FUZZ_REQUIRE(parsed.has_value() == again.has_value(), TextOf(input));
  if (!parsed) {
    FUZZ_REQUIRE(!parsed.error().message.empty(), TextOf(input));
    FUZZ_REQUIRE(parsed.error().message == again.error().message, parsed.error().message);
    return;
  }
  for (const int index : parsed.value().secret_arguments) {
    FUZZ_REQUIRE(index >= 0 && static_cast<std::size_t>(index) < arguments.size(),
                 std::to_string(index));
  }
  if (parsed.value().help) return;
  const auto different = config::DifferencesOf(parsed.value().settings, again.value().settings);
  FUZZ_REQUIRE(different.empty(), different.front().Text());
}

}  // namespace mooring::fuzz
