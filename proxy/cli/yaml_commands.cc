// `mooring proxy -config FILE` and `mooring validate FILE`: both read the file by the same steps.
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "proxy/cli/commands.h"
#include "proxy/cli/read_line.h"
#include "proxy/cli/start.h"
#include "proxy/config/exit_code.h"
#include "proxy/control/settings_file.h"
#include "proxy/log/escape.h"

namespace mooring::cli {
namespace {

enum class Files { kLater, kNow };

// Load prints every mistake and returns nullopt if there is one. Of the files that this one names
// it looks, now, whether they are there.
std::optional<config::Settings> Load(const std::string& path, const Invocation& invocation,
                                     Files files) {
  auto read = control::ReadSettingsFile(path, invocation.environment);
  if (!read) {
    std::fprintf(stderr, "==> cannot read the configuration: %s\n",
                 log::Plain(read.error().message).c_str());
    return std::nullopt;
  }
  config::ParsedYaml parsed = *std::move(read);
  if (files == Files::kNow) control::CheckNamedFiles(&parsed);
  if (!parsed.problems.empty()) {
    if (files == Files::kLater && parsed.settings.log_json) {
      for (const config::Problem& problem : parsed.problems) CannotStart(true, problem.Text(path));
      return std::nullopt;
    }
    std::fprintf(stderr, "==> %zu %s in %s:\n", parsed.problems.size(),
                 parsed.problems.size() == 1 ? "mistake" : "mistakes", log::Plain(path).c_str());
    for (const config::Problem& problem : parsed.problems) {
      std::fprintf(stderr, "%s\n", log::Plain(problem.Text(path)).c_str());
    }
    return std::nullopt;
  }
  return std::move(parsed.settings);
}

const std::vector<config::FlagSpec>& ProxyFlags() {
  static const std::vector<config::FlagSpec> kFlags{
      {"config", "file", "The file. `mooring validate FILE` checks it."},
      {"take-over", "",
       "Take over from the proxy that serves at handover_dir now, once this one is ready. `mooring "
       "reload` starts a new binary so."}};
  return kFlags;
}

}  // namespace

std::string ProxyUsage() {
  return "Usage: mooring proxy -config FILE.yaml\n\n"
         "  Runs a sidecar by a YAML file until it is told to stop, with or without a Consul "
         "agent.\n"
         "  `mooring help settings` shows every key of the file with its default.\n\n" +
         config::UsageOf(ProxyFlags());
}

int Proxy(const Invocation& invocation) {
  const Line line = ReadLine(invocation, ProxyFlags(), "proxy", ProxyUsage());
  if (line.code) return *line.code == 0 ? 0 : config::kBadConfiguration;
  const auto misused = [](const Error& error) {
    (void)Misused(error, "proxy");
    return config::kBadConfiguration;
  };
  if (Status alone = config::CheckNoOperands(line.given, ProxyFlags(), "proxy"); !alone)
    return misused(alone.error());
  const std::string path = line.given.Text("config");
  if (path.empty()) return misused(Invalid("no -config FILE.yaml is given"));
  auto settings = Load(path, invocation, Files::kLater);
  if (!settings) return config::kBadConfiguration;
  settings->take_over = line.given.On("take-over");
  settings->arguments = CommandLine(invocation);
  return Start(std::move(*settings));
}

std::string ValidateUsage() {
  return "Usage: mooring validate FILE.yaml\n\n"
         "  Checks a file of `mooring proxy -config` and the files that it names, and names every\n"
         "  mistake with its line and column. The exit code is 0 where there is none. Nothing is\n"
         "  started and nobody is asked.\n"
         "  `mooring help settings` shows every key of the file with its default.\n";
}

int Validate(const Invocation& invocation) {
  const Line line = ReadLine(invocation, {}, "validate", ValidateUsage());
  if (line.code) return *line.code;
  if (line.given.operands.size() != 1)
    return Misused(Invalid("write one file: mooring validate FILE.yaml"), "validate");
  const std::string& path = line.given.operands.front();
  auto settings = Load(path, invocation, Files::kNow);
  if (!settings) return 1;
  for (const std::string& warning : settings->warnings)
    std::printf("warning: %s\n", log::Plain(warning).c_str());
  std::printf("%s is valid\n", log::Plain(path).c_str());
  return 0;
}

}  // namespace mooring::cli
