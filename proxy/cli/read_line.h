// ReadLine: what the commands other than `connect proxy` have in common on their command lines.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "authz/result.h"
#include "proxy/cli/commands.h"
#include "proxy/config/flag_syntax.h"

namespace mooring::cli {

struct Line {
  config::CommandLine given;
  // there is nothing to do any more, and it has been said why: the exit code
  std::optional<int> code;
};

// ReadLine splits the arguments of `command` by its flags. It prints `usage` where that is asked
// for.
Line ReadLine(const Invocation& invocation, std::span<const config::FlagSpec> flags,
              std::string_view command, const std::string& usage);

// Misused says on standard error what is wrong with a command line, and returns the exit code.
int Misused(const Error& error, std::string_view command);

// ReadEvery is how often something is drawn, as the flag of that name says; 2 s for null.
Result<std::chrono::milliseconds> ReadEvery(const std::string* given, const std::string& flag);

}  // namespace mooring::cli
