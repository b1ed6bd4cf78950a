// `mooring top`: who talks to whom through a running proxy, with rates.
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "proxy/cli/ask_admin.h"
#include "proxy/cli/commands.h"
#include "proxy/cli/live_screen.h"
#include "proxy/cli/read_line.h"
#include "proxy/sidecar/list_tables.h"

namespace mooring::cli {
namespace {

constexpr std::size_t kMostPairs = 500;

const std::vector<config::FlagSpec>& Flags() {
  static const std::vector<config::FlagSpec> kFlags{
      AdminFlag(),
      {"service", "name", "Of this service alone, where the proxy has several."},
      {"match", "words", "Those pairs that have each of these words in a name."},
      {"every", "duration", "The time between two readings. Default: 2s."},
      {"once", "", "Two readings and one table, also on a terminal."},
  };
  return kFlags;
}

}  // namespace

std::string TopUsage() {
  return "Usage: mooring top [options]\n\n"
         "  Shows which services talk to each other through a running proxy, the busiest first: "
         "open\n"
         "  connections, new ones, requests and bytes a second (of the last ten seconds), failures "
         "in all and\n"
         "  lately, and how long answers take. Requests and answers are estimates, right where a "
         "client waits\n"
         "  for each answer. On a terminal it is drawn again every two seconds, until q or Ctrl-C; "
         "elsewhere\n"
         "  it is written once, from two readings.\n\n" +
         config::UsageOf(Flags());
}

int Top(const Invocation& invocation) {
  const Line line = ReadLine(invocation, Flags(), "top", TopUsage());
  if (line.code) return *line.code;
  if (Status alone = config::CheckNoOperands(line.given, Flags(), "top"); !alone)
    return Misused(alone.error(), "top");
  const auto address = AdminAddress(line.given);
  if (!address) return Misused(address.error(), "top");
  const auto every = ReadEvery(line.given.Find("every"), "every");
  if (!every) return Misused(every.error(), "top");
  const std::string path = PathWith("/traffic", {{"service", line.given.Text("service")},
                                                 {"match", line.given.Text("match")},
                                                 {"limit", std::to_string(kMostPairs)}});
  sidecar::Talkers talkers;
  const auto read = [&]() -> Status {
    const auto document = AskDocument(*address, path);
    return document ? talkers.Read(*document) : Status(document.error());
  };
  Status asked = read();
  const bool once = line.given.On("once") || TerminalWidth() == 0;
  if (asked && once) {
    std::this_thread::sleep_for(*every);
    asked = read();
  }
  if (!asked) {
    std::fprintf(stderr, "==> %s\n", asked.error().message.c_str());
    return 1;
  }
  if (once) {
    std::fputs(talkers.Table(TerminalWidth(), kMostPairs).c_str(), stdout);
    return 0;
  }
  bool first = true;  // it has been read
  return RunLive(*every, [&](const LiveScreen::Size& size) {
    if (!std::exchange(first, false)) {
      if (const Status now = read(); !now) return now.error().message + "\n";
    }
    return talkers.Table(size.columns, size.lines);
  });
}

}  // namespace mooring::cli
