// `mooring status`: /status of a running proxy as tables.
#include <cstdio>
#include <string>
#include <vector>

#include "proxy/cli/ask_admin.h"
#include "proxy/cli/commands.h"
#include "proxy/cli/live_screen.h"
#include "proxy/cli/read_line.h"
#include "proxy/log/escape.h"
#include "proxy/sidecar/status_table.h"

namespace mooring::cli {
namespace {

const std::vector<config::FlagSpec>& Flags() {
  static const std::vector<config::FlagSpec> kFlags{
      AdminFlag(),
      {"service", "name", "Of this service alone, where the proxy has several."},
      {"watch", "",
       "On a terminal, draw it again every two seconds, until q or Ctrl-C; -watch 5s: every five."},
      {"json", "", "The document itself, once."},
  };
  return kFlags;
}

}  // namespace

std::string StatusUsage() {
  return "Usage: mooring status [options]\n\n"
         "  Shows what a running proxy knows, how old it is, where it comes from, and what passes "
         "through.\n\n" +
         config::UsageOf(Flags());
}

int ShowStatus(const Invocation& invocation) {
  const Line line = ReadLine(invocation, Flags(), "status", StatusUsage());
  if (line.code) return *line.code;
  const bool watches = line.given.On("watch");
  const std::vector<std::string>& operands = line.given.operands;
  const std::string* given = watches && operands.size() == 1 ? &operands.front() : nullptr;
  if (Status alone = config::CheckNoOperands(line.given, Flags(), "status");
      !alone && given == nullptr)
    return Misused(alone.error(), "status");
  const auto address = AdminAddress(line.given);
  if (!address) return Misused(address.error(), "status");
  const auto every = ReadEvery(given, "watch");
  if (!every) return Misused(every.error(), "status");
  const std::string path = PathWith("/status", {{"service", line.given.Text("service")}});
  const auto table = [&]() -> Result<std::string> {
    const auto document = AskDocument(*address, path);
    if (!document) return document.error();
    auto drawn = sidecar::StatusTable(*document);
    if (!drawn) return Invalid(log::Plain(address->Text() + ": " + drawn.error().message));
    return drawn;
  };
  const auto first = line.given.On("json") ? AskDocument(*address, path) : table();
  if (!first) {
    std::fprintf(stderr, "==> %s\n", first.error().message.c_str());
    return 1;
  }
  if (line.given.On("json") || !watches || TerminalWidth() == 0) {
    std::fputs(first->c_str(), stdout);
    return 0;
  }
  return RunLive(*every, [&](const LiveScreen::Size&) {
    const auto now = table();
    return now ? *now : now.error().message + "\n";
  });
}

}  // namespace mooring::cli
