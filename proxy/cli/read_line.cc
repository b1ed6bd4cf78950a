#include "proxy/cli/read_line.h"

#include <cstdio>
#include <utility>

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

}  // namespace mooring::cli
