#include "proxy/config/flag_syntax.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "authz/text.h"
#include "proxy/config/nearest.h"
#include "proxy/config/wrap.h"

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

}  // namespace

const std::string* CommandLine::Find(std::string_view name) const {
  const auto found = std::find_if(flags.rbegin(), flags.rend(),
                                  [name](const GivenFlag& flag) { return flag.name == name; });
  return found == flags.rend() ? nullptr : &found->value;
}

std::string CommandLine::Text(std::string_view name) const {
  const std::string* text = Find(name);
  return text == nullptr ? std::string() : *text;
}

Status CheckNoOperands(const CommandLine& line, std::span<const FlagSpec> specs,
                       std::string_view command) {
  if (line.operands.empty()) return Ok();
  const FlagSpec* before = nullptr;
  if (!line.flags.empty()) {
    const auto spec = std::find_if(specs.begin(), specs.end(), [&line](const FlagSpec& candidate) {
      return candidate.name == line.flags.back().name;
    });
    if (spec != specs.end()) before = &*spec;
  }
  std::string message = "Should have no non-flag arguments. ";
  const bool secret = before != nullptr && before->secret;
  message += secret ? "Argument " : '"' + authz::Shortened(line.operands.front()) + "\", argument ";
  message +=
      std::to_string(line.first_operand + 1) + " after `" + std::string(command) + "`, is none";
  if (before != nullptr) {
    const std::string name(before->name);
    message += "; it follows -" + name;
    if (before->argument.empty()) message += " (a boolean takes its value as -" + name + "=false)";
  }
  return Invalid(std::move(message));
}

std::optional<bool> ParseGoBoolean(std::string_view text) {
  constexpr std::array<std::string_view, 6> kTrue{"1", "t", "T", "true", "TRUE", "True"};
  constexpr std::array<std::string_view, 6> kFalse{"0", "f", "F", "false", "FALSE", "False"};
  if (std::find(kTrue.begin(), kTrue.end(), text) != kTrue.end()) return true;
  if (std::find(kFalse.begin(), kFalse.end(), text) != kFalse.end()) return false;
  return std::nullopt;
}

Result<CommandLine> ScanFlags(const std::vector<std::string>& arguments,
                              std::span<const FlagSpec> specs) {
  CommandLine line;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (argument.size() < 2 || argument.front() != '-' || argument == "--") {
      line.first_operand = argument == "--" ? i + 1 : i;
      line.operands.assign(arguments.begin() + static_cast<std::ptrdiff_t>(line.first_operand),
                           arguments.end());
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
        line.help = true;
        return line;
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
    line.flags.push_back(
        {.name = spec->name, .value = std::string(*value), .argument = static_cast<int>(i)});
  }
  return line;
}

std::string UsageParagraph(std::string_view heading, std::string_view help) {
  return "  " + std::string(heading) + '\n' + Wrap(help, kUsageIndent, kUsageColumns) + '\n';
}

std::string UsageOf(std::span<const FlagSpec> specs) {
  std::string text;
  for (const FlagSpec& spec : specs) {
    std::string heading = '-' + std::string(spec.name);
    if (!spec.argument.empty()) heading += "=<" + std::string(spec.argument) + '>';
    text += UsageParagraph(heading, spec.help);
  }
  return text;
}

}  // namespace mooring::config
