// `mooring diff FILE`: what a reload of a running proxy by that file would change, from the proxy's
// own comparison.
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "authz/text.h"
#include "proxy/cli/ask_admin.h"
#include "proxy/cli/commands.h"
#include "proxy/cli/read_line.h"
#include "proxy/config/file.h"
#include "proxy/control/settings_file.h"
#include "proxy/log/escape.h"
#include "proxy/sidecar/reload_outcome.h"

namespace mooring::cli {
namespace {

// As diff(1) has them.
constexpr int kSame = 0;
constexpr int kDifferent = 1;
constexpr int kTrouble = 2;

const std::vector<config::FlagSpec>& Flags() {
  static const std::vector<config::FlagSpec> kFlags{
      AdminFlag(),
      {"json", "", "The document itself."},
  };
  return kFlags;
}

int Trouble(const std::string& why) {
  std::fprintf(stderr, "==> %s\n", why.c_str());
  return kTrouble;
}

// Broken says what is wrong with the file and with those that it names, as this user may read them.
bool Broken(const std::string& path) {
  // The environment that counts is the proxy's.
  auto parsed = control::ReadSettingsFile(path, {});
  if (!parsed) {
    Trouble("cannot read the configuration: " + log::Plain(parsed.error().message));
    return true;
  }
  control::CheckNamedFiles(&*parsed);
  for (const config::Problem& problem : parsed->problems)
    std::fprintf(stderr, "%s\n", log::Plain(problem.Text(path)).c_str());
  return !parsed->problems.empty();
}

}  // namespace

std::string DiffUsage() {
  return "Usage: mooring diff [options] FILE.yaml\n\n"
         "  Shows what a running proxy would change if FILE were the one that it is reloaded by, "
         "setting by setting,\n"
         "  and which of it needs an upgrade. The proxy compares it with what is in force, and "
         "changes nothing. A\n"
         "  token that FILE holds is sent to it, and none is shown.\n"
         "  The exit code is 0 where nothing is different, 1 where something is, 2 where FILE is "
         "broken or the\n"
         "  proxy cannot be asked.\n\n" +
         config::UsageOf(Flags());
}

int Diff(const Invocation& invocation) {
  const Line line = ReadLine(invocation, Flags(), "diff", DiffUsage());
  if (line.code) return *line.code == 0 ? kSame : kTrouble;
  if (line.given.operands.size() != 1) {
    (void)Misused(Invalid("write one file: mooring diff FILE.yaml"), "diff");
    return kTrouble;
  }
  const auto address = AdminAddress(line.given);
  if (!address) {
    (void)Misused(address.error(), "diff");
    return kTrouble;
  }
  const std::string& path = line.given.operands.front();
  if (Broken(path)) return kTrouble;
  auto text = config::ReadFile(path);
  if (!text) return Trouble(log::Plain(text.error().message));
  const std::string absolute = std::filesystem::absolute(path).string();
  const auto answer = PostDocument(*address, PathWith("/diff", {{"file", absolute}}),
                                   *std::move(text), "application/yaml");
  if (!answer) return Trouble(answer.error().message);
  const auto outcome = sidecar::ReadOutcome(*answer);
  if (!outcome) return Trouble(log::Plain(outcome.error().message));
  if (line.given.On("json")) {
    std::fputs(answer->c_str(), stdout);
  } else {
    for (const std::string& each : outcome->lines)
      std::fprintf(outcome->refused ? stderr : stdout, "%s\n", log::Plain(each).c_str());
  }
  if (outcome->refused) return kTrouble;
  return outcome->lines.empty() ? kSame : kDifferent;
}

}  // namespace mooring::cli
