#include "proxy/cli/read_line.h"

#include <cstdio>
#include <utility>

#include "proxy/config/duration.h"
#include "proxy/log/escape.h"

namespace mooring::cli {

Line ReadLine(const Invocation& invocation, std::span<const config::FlagSpec> flags,
              std::string_view command, const std::string& usage) {
  Line line;
  Result<config::CommandLine> scanned = config::ScanFlags(invocation.arguments, flags);
  if (!scanned) {
    line.code = Misused(scanned.error(), command);
    return line;
  }
  line.given = *std::move(scanned);
  if (line.given.help) {
    std::fputs(usage.c_str(), stdout);
    line.code = 0;
  }
  return line;
}

int Misused(const Error& error, std::string_view command) {
  std::fprintf(stderr, "==> %s (see mooring %s -help)\n", log::Plain(error.message).c_str(),
               std::string(command).c_str());
  return 1;
}

Result<std::chrono::milliseconds> ReadEvery(const std::string* given, const std::string& flag) {
  constexpr std::chrono::milliseconds kLeast{100};
  if (given == nullptr) return std::chrono::milliseconds(2'000);
  auto every = config::ParseDuration(*given);
  if (!every) return Invalid("-" + flag + ": " + every.error().message);
  if (*every < kLeast) return Invalid("-" + flag + ": 100ms is the least");
  return every;
}

}  // namespace mooring::cli
