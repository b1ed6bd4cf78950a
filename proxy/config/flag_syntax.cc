#include "proxy/config/flag_syntax.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "authz/text.h"
#include "proxy/config/nearest.h"

namespace mooring::config {
namespace {

constexpr std::size_t kUsageColumns = 79;
constexpr std::string_view kUsageIndent = "     ";

Error UnknownFlag(std::string_view name, std::span<const FlagSpec> specs) {
  std::vector<std::string_view> names;
  for (const FlagSpec& spec : specs) names.push_back(spec.name);
  const std::string_view nearest = Nearest(name, names);
  std::string message = "flag provided but not defined: -" + authz::Shortened(name);
  if (!nearest.empty()) message += " (did you mean -" + std::string(nearest) + "?)";
  return Invalid(std::move(message));
}

// TrailingArguments never quotes an argument: after `-token = secret` it would be the secret.
Error TrailingArguments(std::size_t index, const std::vector<GivenFlag>& flags,
                        std::span<const FlagSpec> specs) {
  std::string message = "Should have no non-flag arguments. Argument " + std::to_string(index + 1) +
                        " after `connect proxy` is none";
  if (!flags.empty() && static_cast<std::size_t>(flags.back().argument) + 1 == index) {
    const GivenFlag& last = flags.back();
    const auto spec = std::find_if(specs.begin(), specs.end(), [&last](const FlagSpec& candidate) {
      return candidate.name == last.name;
    });
    const std::string name(last.name);
    message += ", it follows -" + name;
    if (spec != specs.end() && spec->argument.empty()) {
      message += " (a boolean takes its value as -" + name + "=false)";
    }
  }
  return Invalid(std::move(message));
}

}  // namespace

std::optional<bool> ParseGoBoolean(std::string_view text) {
  constexpr std::array<std::string_view, 6> kTrue{"1", "t", "T", "true", "TRUE", "True"};
  constexpr std::array<std::string_view, 6> kFalse{"0", "f", "F", "false", "FALSE", "False"};
  if (std::find(kTrue.begin(), kTrue.end(), text) != kTrue.end()) return true;
  if (std::find(kFalse.begin(), kFalse.end(), text) != kFalse.end()) return false;
  return std::nullopt;
}

Result<ScannedFlags> ScanFlags(const std::vector<std::string>& arguments,
                               std::span<const FlagSpec> specs) {
  ScannedFlags scanned;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (argument.size() < 2 || argument.front() != '-' || argument == "--") {
      const std::size_t first = argument == "--" ? i + 1 : i;
      if (first < arguments.size()) {
        scanned.rest = TrailingArguments(first, scanned.flags, specs);
      }
      break;
    }
    std::string_view name = argument.substr(argument.starts_with("--") ? 2 : 1);
    if (name.empty() || name.front() == '-' || name.front() == '=') {
      return Invalid("bad flag syntax: " + authz::Shortened(argument));
    }
    std::optional<std::string_view> value;
    if (const std::size_t equals = name.find('='); equals != std::string_view::npos) {
      value = name.substr(equals + 1);
      name = name.substr(0, equals);
    }

    const auto spec = std::find_if(specs.begin(), specs.end(), [name](const FlagSpec& candidate) {
      return candidate.name == name;
    });
    if (spec == specs.end()) {
      if (name == "h" || name == "help") {
        scanned.help = true;
        return scanned;
      }
      return UnknownFlag(name, specs);
    }
    if (spec->argument.empty()) {
      const std::optional<bool> on = ParseGoBoolean(value.value_or("true"));
      if (!on) {
        return Invalid("invalid boolean value \"" + authz::Shortened(*value) + "\" for -" +
                       std::string(name) + ": parse error, write true or false");
      }
      value = *on ? "true" : "false";
    } else if (!value) {
      if (i + 1 == arguments.size()) {
        return Invalid("flag needs an argument: -" + std::string(name));
      }
      value = arguments[++i];
    }
    scanned.flags.push_back(
        {.name = spec->name, .value = std::string(*value), .argument = static_cast<int>(i)});
  }
  return scanned;
}

std::string UsageOf(std::span<const FlagSpec> specs) {
  std::string text;
  for (const FlagSpec& spec : specs) {
    text += "  -" + std::string(spec.name);
    if (!spec.argument.empty()) text += "=<" + std::string(spec.argument) + '>';
    std::string_view help = spec.help;
    std::size_t column = kUsageColumns;  // the first word begins a line
    while (!help.empty()) {
      const std::size_t space = help.find(' ');
      const std::string_view word = help.substr(0, space);
      help.remove_prefix(space == std::string_view::npos ? help.size() : space + 1);
      if (column + 1 + word.size() > kUsageColumns) {
        text += '\n';
        text += kUsageIndent;
        column = kUsageIndent.size();
      } else {
        text += ' ';
        ++column;
      }
      text += word;
      column += word.size();
    }
    text += "\n\n";
  }
  return text;
}

}  // namespace mooring::config
