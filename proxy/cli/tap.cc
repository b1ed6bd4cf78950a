// `mooring tap`: the plaintext of one live connection as a capture file.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "proxy/cli/ask_admin.h"
#include "proxy/cli/commands.h"
#include "proxy/cli/read_line.h"
#include "proxy/config/duration.h"
#include "proxy/log/escape.h"

namespace mooring::cli {
namespace {

constexpr std::chrono::milliseconds kLongest{60'000};
constexpr std::chrono::milliseconds kAnswer{30'000};       // beyond the tap's own time
constexpr std::size_t kMostBody = std::size_t{64} << 20U;  // small packets have headers

const std::vector<config::FlagSpec>& Flags() {
  static const std::vector<config::FlagSpec> kFlags{
      AdminFlag(),
      {"time", "duration", "How long, at most 60s. Default: 60s."},
      {"bytes", "number", "How many bytes of plaintext, at most 16777216. Default: that."},
  };
  return kFlags;
}

}  // namespace

std::string TapUsage() {
  return "Usage: mooring tap [options] ID >FILE.pcap\n\n"
         "  Copies what passes through one live connection from now on, in clear text, as a "
         "capture "
         "file that\n"
         "  Wireshark and tcpdump read. `mooring connections` has the ID. It has to be allowed by "
         "admin.tap in\n"
         "  the file of the proxy, whose admin port has to be a unix socket, and is for root and "
         "for "
         "the user of\n"
         "  the proxy alone. The proxy's log says that it was done, by whom, and how much was "
         "seen.\n\n"
         "    mooring tap -admin-addr unix:/run/mooring/admin.sock -time 10s 42 >payment.pcap\n\n" +
         config::UsageOf(Flags());
}

int Tap(const Invocation& invocation) {
  const Line line = ReadLine(invocation, Flags(), "tap", TapUsage());
  if (line.code) return *line.code;
  if (line.given.operands.size() != 1)
    return Misused(Invalid("it takes the ID of one connection (`mooring connections`)"), "tap");
  const auto address = AdminAddress(line.given);
  if (!address) return Misused(address.error(), "tap");
  const std::string* given = line.given.Find("time");
  const auto time = config::ParseDuration(given != nullptr ? *given : "60s");
  if (!time) return Misused(Invalid("-time: " + time.error().message), "tap");
  if (isatty(STDOUT_FILENO) != 0)
    return Misused(Invalid("standard output is a terminal: give it a file, >FILE.pcap"), "tap");
  const std::string path =
      PathWith("/tap", {{"id", line.given.operands.front()},
                        {"ms", std::to_string(std::min(*time, kLongest).count())},
                        {"bytes", line.given.Text("bytes")}});
  const auto answer = AskAdmin(*address, path, std::min(*time, kLongest) + kAnswer, kMostBody);
  if (!answer || answer->status != 200) {
    std::fprintf(stderr, "==> %s: %s\n", log::Plain(address->Text()).c_str(),
                 log::Plain(answer ? answer->body : answer.error().message).c_str());
    return 1;
  }
  if (std::fwrite(answer->body.data(), 1, answer->body.size(), stdout) != answer->body.size() ||
      std::fflush(stdout) != 0) {
    std::perror("==> standard output");
    return 1;
  }
  return 0;
}

}  // namespace mooring::cli
