// `mooring proxy -config FILE` and `mooring validate FILE`: both read the file by the same steps.
#include <cstdio>
#include <filesystem>
#include <optional>

#include "proxy/cli/commands.h"
#include "proxy/cli/start.h"
#include "proxy/config/file.h"
#include "proxy/config/yaml.h"
#include "proxy/control/identity_source.h"
#include "proxy/log/escape.h"

namespace mooring::cli {
namespace {

// Load prints every mistake and returns nullopt if there is one.
std::optional<config::Settings> Load(const std::string& path, const Invocation& invocation) {
  auto text = config::ReadFile(path);
  if (!text) {
    std::fprintf(stderr, "==> cannot read the configuration: %s\n", log::Plain(text.error().message).c_str());
    return std::nullopt;
  }
  const std::string base = std::filesystem::absolute(path).parent_path().string();
  config::ParsedYaml parsed = config::ParseYaml(*text, base, invocation.environment);
  if (!parsed.problems.empty()) {
    std::fprintf(stderr, "==> %zu %s in %s:\n", parsed.problems.size(),
                 parsed.problems.size() == 1 ? "mistake" : "mistakes", log::Plain(path).c_str());
    for (const config::Problem& problem : parsed.problems) {
      std::fprintf(stderr, "%s\n", log::Plain(problem.Text(path)).c_str());
    }
    return std::nullopt;
  }
  return std::move(parsed.settings);
}

}  // namespace

int Proxy(const Invocation& invocation) {
  std::string path;
  const auto& arguments = invocation.arguments;
  if (arguments.size() == 2 && (arguments[0] == "-config" || arguments[0] == "--config")) path = arguments[1];
  if (arguments.size() == 1 && arguments[0].starts_with("-config=")) path = arguments[0].substr(8);
  if (arguments.size() == 1 && arguments[0].starts_with("--config=")) path = arguments[0].substr(9);
  if (path.empty()) {
    std::fprintf(stderr, "==> usage: mooring proxy -config FILE.yaml\n");
    return 1;
  }
  auto settings = Load(path, invocation);
  if (!settings) return 1;
  return Start(std::move(*settings));
}

int Validate(const Invocation& invocation) {
  if (invocation.arguments.size() != 1 || invocation.arguments[0].starts_with("-")) {
    std::fprintf(stderr, "==> usage: mooring validate FILE.yaml\n");
    return 1;
  }
  const std::string& path = invocation.arguments[0];
  auto settings = Load(path, invocation);
  if (!settings) return 1;
  for (const config::ServiceSettings& service : settings->services) {
    if (!service.identity) continue;
    if (Status good = control::CheckFileIdentity(*service.identity); !good) {
      std::fprintf(stderr, "==> identity: %s\n", log::Plain(good.error().message).c_str());
      return 1;
    }
  }
  for (const std::string& warning : settings->warnings) std::printf("warning: %s\n", log::Plain(warning).c_str());
  std::printf("%s is valid\n", log::Plain(path).c_str());
  return 0;
}

}  // namespace mooring::cli
