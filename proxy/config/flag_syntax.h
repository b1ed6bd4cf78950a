// The syntax of Go's flag package, which Consul's command line follows: -x v, -x=v, --x; -b and
// -b=true for booleans; the first argument that is no flag, or `--`, ends the flags. Errors have
// Go's words. Every command's line is read by it.
//
// Knows no single flag and no meaning. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "authz/result.h"

namespace mooring::config {

// FlagSpec is one flag that a command takes.
struct FlagSpec {
  std::string_view name;      // without dashes
  std::string_view argument;  // what its value is, for the usage text; empty: a boolean
  std::string help;
  bool secret = false;  // its value, and what follows it, is never quoted
};

// GivenFlag is one flag as it was given. The value of a boolean is "true" or "false".
struct GivenFlag {
  std::string_view name;  // FlagSpec's
  std::string value;
  int argument = 0;  // index of the argument that holds the value
};

struct CommandLine {
  std::vector<GivenFlag> flags;       // in order, repeated ones repeated
  bool help = false;                  // -h or -help came; what follows it was not read
  std::vector<std::string> operands;  // the arguments after the flags
  std::size_t first_operand = 0;      // its index among the arguments

  // Find is what a flag was set to, nullptr if it was not. Of one given several times the last
  // counts.
  const std::string* Find(std::string_view name) const;
  // Text is empty for a flag not given: Consul tells the two apart nowhere but against the
  // environment.
  std::string Text(std::string_view name) const;
  bool On(std::string_view name) const { return Text(name) == "true"; }
};

// ScanFlags splits `arguments` by `specs`, whose strings must outlive the result.
Result<CommandLine> ScanFlags(const std::vector<std::string>& arguments,
                              std::span<const FlagSpec> specs);

// CheckNoOperands refuses arguments that are no flags, and quotes the first, but not behind a
// secret: in `-token = secret` it is one.
Status CheckNoOperands(const CommandLine& line, std::span<const FlagSpec> specs,
                       std::string_view command);

// ParseGoBoolean reads what Go's strconv.ParseBool reads: 1, t, T, true, TRUE, True and their
// opposites.
std::optional<bool> ParseGoBoolean(std::string_view text);

// UsageParagraph is what a usage text says below one heading.
std::string UsageParagraph(std::string_view heading, std::string_view help);

// UsageOf lists the flags, one paragraph each.
std::string UsageOf(std::span<const FlagSpec> specs);

}  // namespace mooring::config
