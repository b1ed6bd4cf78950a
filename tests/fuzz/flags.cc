// flags: a command line of `mooring connect proxy`, an argument a line; lines that begin with `$`
// are its environment.
#include "proxy/config/flags.h"

#include <string>
#include <vector>

#include "proxy/config/difference.h"
#include "tests/fuzz/targets.h"

namespace mooring::fuzz {
namespace {

// NamesToken: it is -token, which alone is secret among the flags, with so much behind it.
bool NamesToken(std::string_view argument, std::string_view behind) {
  if (argument.starts_with("--")) argument.remove_prefix(1);
  constexpr std::string_view kName = "-token";
  return argument.starts_with(kName) && argument.substr(kName.size()).starts_with(behind);
}

// HoldsToken: the value of -token stands in this argument.
bool HoldsToken(const std::vector<std::string>& arguments, std::size_t at) {
  if (NamesToken(arguments[at], "=")) return true;
  return at > 0 && (arguments[at - 1] == "-token" || arguments[at - 1] == "--token");
}

}  // namespace

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
  // It says what there is and ends: nothing behind that flag has been looked at, nor has to be
  // wiped.
  if (parsed.value().help) return;
  std::vector<bool> wiped(arguments.size());
  for (const int index : parsed.value().secret_arguments) {
    FUZZ_REQUIRE(index >= 0 && static_cast<std::size_t>(index) < arguments.size(),
                 std::to_string(index));
    wiped[static_cast<std::size_t>(index)] = true;
    FUZZ_REQUIRE(HoldsToken(arguments, static_cast<std::size_t>(index)), arguments.back());
  }
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    // Behind a flag without a value of its own it may be that one's.
    const bool is_value = i > 0 && arguments[i - 1].starts_with('-');
    FUZZ_REQUIRE(wiped[i] || is_value || !NamesToken(arguments[i], "="), arguments[i]);
  }
  const auto different = config::DifferencesOf(parsed.value().settings, again.value().settings);
  FUZZ_REQUIRE(different.empty(), different.front().Text());
}

}  // namespace mooring::fuzz
