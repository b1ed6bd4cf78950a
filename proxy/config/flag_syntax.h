// The syntax of Go's flag package, which Consul's command line follows: -x v, -x=v, --x; -b and
// -b=true for booleans; the first argument that is no flag, or `--`, ends the flags. Errors have
// Go's words.
//
// Knows no single flag and no meaning. Pure.
#pragma once

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
  std::string_view help;
};

// GivenFlag is one flag as it was given. The value of a boolean is "true" or "false".
struct GivenFlag {
  std::string_view name;  // FlagSpec's
  std::string value;
  int argument = 0;  // index of the argument that holds the value
};

struct ScannedFlags {
  std::vector<GivenFlag> flags;  // in order, repeated ones repeated
  bool help = false;             // -h or -help came; what follows it was not read
  std::optional<Error> rest;     // arguments that are no flags came after the flags
};

// ScanFlags splits `arguments` by `specs`, whose strings must outlive the result.
Result<ScannedFlags> ScanFlags(const std::vector<std::string>& arguments,
                               std::span<const FlagSpec> specs);

// ParseGoBoolean reads what Go's strconv.ParseBool reads: 1, t, T, true, TRUE, True and their
// opposites.
std::optional<bool> ParseGoBoolean(std::string_view text);

// UsageOf lists the flags, one paragraph each.
std::string UsageOf(std::span<const FlagSpec> specs);

}  // namespace mooring::config
