// `mooring ready`: whether a running proxy can serve, for units and scripts.
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "authz/text.h"
#include "proxy/cli/ask_admin.h"
#include "proxy/cli/commands.h"
#include "proxy/cli/read_line.h"
#include "proxy/config/duration.h"
#include "proxy/log/escape.h"

namespace mooring::cli {
namespace {

constexpr std::chrono::milliseconds kBetween{100};

const std::vector<config::FlagSpec>& Flags() {
  static const std::vector<config::FlagSpec> kFlags{
      AdminFlag(),
      {"service", "name", "One of several services alone."},
      {"wait", "duration", "Ask again until it is ready, for as long as that. Default: 0, once."},
  };
  return kFlags;
}

// Why is empty if it is ready; `says` is then what it says besides.
std::string Why(const net::Address& address, const std::string& path, std::string* says) {
  const auto answer = AskAdmin(address, path);
  if (!answer)
    return answer.error().message +
           "; is a proxy running with -admin-addr (admin.address in YAML)?";
  if (answer->status != 200)
    return answer->body.empty() ? "it answered " + std::to_string(answer->status) : answer->body;
  *says = answer->body;
  return {};
}

}  // namespace

std::string ReadyUsage() {
  return "Usage: mooring ready [options]\n\n"
         "  Asks a running proxy whether it can serve. The exit code is 0 if it can; what works "
         "less than it\n"
         "  should stands behind `ready`. It is 1 if it cannot, and standard error says why.\n\n"
         "    ExecStartPost=/usr/bin/mooring ready -wait 30s\n\n" +
         config::UsageOf(Flags());
}

int Ready(const Invocation& invocation) {
  const Line line = ReadLine(invocation, Flags(), "ready", ReadyUsage());
  if (line.code) return *line.code;
  if (Status alone = config::CheckNoOperands(line.given, Flags(), "ready"); !alone)
    return Misused(alone.error(), "ready");
  const auto address = AdminAddress(line.given);
  if (!address) return Misused(address.error(), "ready");
  const std::string* given = line.given.Find("wait");
  const auto wait = config::ParseDuration(given != nullptr ? *given : "0");
  if (!wait) return Misused(Invalid("-wait: " + wait.error().message), "ready");
  const std::string service = line.given.Text("service");
  const std::string path =
      "/ready" + (service.empty() ? "" : "?service=" + authz::PercentEncoded(service));

  const auto end = std::chrono::steady_clock::now() + *wait;
  std::string says;
  std::string why = Why(*address, path, &says);
  while (!why.empty() && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(kBetween);
    why = Why(*address, path, &says);
  }
  if (why.empty()) {
    std::fputs(says.c_str(), stdout);
    return 0;
  }
  while (why.ends_with('\n')) why.pop_back();
  std::fprintf(stderr, "==> %s: %s\n", log::Plain(address->Text()).c_str(),
               log::Plain(why).c_str());
  return 1;
}

}  // namespace mooring::cli
