// `mooring connections`: the connections that a running proxy has now.
#include <cstdio>
#include <string>
#include <vector>

#include "proxy/cli/ask_admin.h"
#include "proxy/cli/commands.h"
#include "proxy/cli/live_screen.h"
#include "proxy/cli/read_line.h"
#include "proxy/sidecar/list_tables.h"

namespace mooring::cli {
namespace {

const std::vector<config::FlagSpec>& Flags() {
  static const std::vector<config::FlagSpec> kFlags{
      AdminFlag(),
      {"service", "name", "Of this service alone, where the proxy has several."},
      {"match", "words",
       "Those that have each of these words in a service's name, a SPIFFE ID, an address, the "
       "instance, the state or what let them in."},
      {"sort", "order", "newest or bytes, those first. Default: newest."},
      {"limit", "number", "So many at most, up to 500. Default: 100."},
      {"every", "duration", "On a terminal, ask again after that. Default: 2s."},
      {"once", "", "One table, also on a terminal."},
      {"json", "", "The document itself, once."},
  };
  return kFlags;
}

}  // namespace

std::string ConnectionsUsage() {
  return "Usage: mooring connections [options]\n\n"
         "  Shows the connections that a running proxy has: who talks to whom, by which instance, "
         "how\n"
         "  old and how busy they are. On a terminal the table is drawn again every two seconds, "
         "until q\n"
         "  or Ctrl-C; elsewhere it is written once.\n\n" +
         config::UsageOf(Flags());
}

int Connections(const Invocation& invocation) {
  const Line line = ReadLine(invocation, Flags(), "connections", ConnectionsUsage());
  if (line.code) return *line.code;
  if (Status alone = config::CheckNoOperands(line.given, Flags(), "connections"); !alone)
    return Misused(alone.error(), "connections");
  const auto address = AdminAddress(line.given);
  if (!address) return Misused(address.error(), "connections");
  const auto every = ReadEvery(line.given.Find("every"), "every");
  if (!every) return Misused(every.error(), "connections");
  const std::string path = PathWith("/connections", {{"service", line.given.Text("service")},
                                                     {"match", line.given.Text("match")},
                                                     {"sort", line.given.Text("sort")},
                                                     {"limit", line.given.Text("limit")}});
  const auto table = [&](std::size_t width) -> Result<std::string> {
    const auto document = AskDocument(*address, path);
    if (!document) return document.error();
    return sidecar::ConnectionsTable(*document, width);
  };
  const auto first = line.given.On("json") ? AskDocument(*address, path) : table(TerminalWidth());
  if (!first) {
    std::fprintf(stderr, "==> %s\n", first.error().message.c_str());
    return 1;
  }
  if (line.given.On("json") || line.given.On("once") || TerminalWidth() == 0) {
    std::fputs(first->c_str(), stdout);
    return 0;
  }
  return RunLive(*every, [&](const LiveScreen::Size& size) {
    const auto now = table(size.columns);
    return now ? *now : now.error().message + "\n";
  });
}

}  // namespace mooring::cli
