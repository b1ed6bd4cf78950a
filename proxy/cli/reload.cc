// `mooring reload`: has a running proxy read its file again, or starts a new binary in its place.
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "proxy/cli/commands.h"
#include "proxy/cli/read_line.h"
#include "proxy/cli/successor.h"
#include "proxy/config/environment.h"
#include "proxy/handover/ask.h"
#include "proxy/log/escape.h"
#include "proxy/sidecar/reload_outcome.h"

namespace mooring::cli {
namespace {

constexpr std::chrono::milliseconds kReload{60'000};
constexpr std::chrono::milliseconds kServes{75'000};  // longer than it gives itself
constexpr int kNeedsUpgrade = 3;
constexpr char kIsRunning[] = "; is a proxy running with this hand-over directory?";

const std::vector<config::FlagSpec>& Flags() {
  static const std::vector<config::FlagSpec> kFlags{
      {"handover-dir", "folder",
       "Where the running proxy is found: its -handover-dir, or handover_dir in YAML. Default: "
       "`handover` in $RUNTIME_DIRECTORY, as in the unit."},
      {"upgrade", "",
       "Start a new process in its place in any case, also where the binary is the same: for "
       "settings that cannot change while it runs."},
  };
  return kFlags;
}

int Failed(const std::string& why) {
  std::fprintf(stderr, "==> %s\n", log::Plain(why).c_str());
  return 1;
}

int Upgrade(const handover::Place& place, const Running& running) {
  const auto successor = StartSuccessor(place, running, kServes);
  if (!successor)
    return Failed(successor.error().message + "; process " + std::to_string(running.pid) +
                  " serves on");
  std::printf(
      "process %d (version %s) serves now, generation %lld; process %d (version %s) lives on until "
      "its connections have ended\n",
      successor->pid, log::Plain(successor->version).c_str(),
      static_cast<long long>(successor->generation), running.pid,
      log::Plain(running.version).c_str());
  return 0;
}

}  // namespace

std::string ReloadUsage() {
  return "Usage: mooring reload [options] [-- WORDS OF A COMMAND LINE]\n\n"
         "  Has a running proxy read its file again, and says what has changed. Where another "
         "binary is in\n"
         "  the place of the one that runs, it is started instead, with the arguments of the "
         "running one: it\n"
         "  takes over the sockets when it is ready, nobody is refused, and the old process lives "
         "on until its\n"
         "  connections have ended. What goes wrong leaves the old one serving.\n"
         "  Words behind `--` are the command line that is to run, as in `connect proxy -service "
         "web "
         "...`: where the\n"
         "  running one has another, the new process is started by them.\n"
         "  The exit code is 0 if all is in force, 1 if nothing has changed because of a mistake, "
         "and 3 if\n"
         "  some settings need -upgrade.\n\n"
         "    ExecReload=/usr/bin/mooring reload\n\n" +
         config::UsageOf(Flags());
}

int Reload(const Invocation& invocation) {
  const Line line = ReadLine(invocation, Flags(), "reload", ReloadUsage());
  if (line.code) return *line.code;
  config::Settings settings;
  settings.handover_dir = line.given.Text("handover-dir");
  if (settings.handover_dir.empty())
    config::HandoverDirFromEnvironment(invocation.environment, &settings);
  if (settings.handover_dir.empty())
    return Misused(Invalid("no -handover-dir is given, and there is no $RUNTIME_DIRECTORY"),
                   "reload");
  // Opening it would make it.
  std::error_code error;
  if (!std::filesystem::exists(settings.handover_dir, error))
    return Failed("there is no " + settings.handover_dir + kIsRunning);
  const auto place = handover::Place::Open(settings.handover_dir);
  if (!place) return Failed(place.error().message);
  auto running = FindRunning(*place);
  if (!running) {
    return Failed(running.error().message +
                  (running.error().code == ErrorCode::kNotFound ? kIsRunning : ""));
  }
  const std::vector<std::string>& words = line.given.operands;
  const bool otherwise = !words.empty() && words != running->arguments;
  if (otherwise) running->arguments = words;
  if (running->replaced || otherwise || line.given.On("upgrade")) return Upgrade(*place, *running);

  const auto answer = handover::Ask(*place, {"reload"}, kReload);
  if (!answer) return Failed(answer.error().message);
  const auto outcome = sidecar::ReadOutcome(answer->fields.dump());
  if (!outcome) return Failed(outcome.error().message);
  for (const std::string& said : outcome->lines)
    std::fprintf(outcome->refused ? stderr : stdout, "%s\n", log::Plain(said).c_str());
  if (outcome->refused) return Failed("refused; the settings stay as they were");
  if (outcome->lines.empty()) std::puts("nothing is different");
  if (outcome->needs_upgrade) std::puts("for what needs an upgrade: mooring reload -upgrade");
  return outcome->needs_upgrade ? kNeedsUpgrade : 0;
}

}  // namespace mooring::cli
