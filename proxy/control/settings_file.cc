#include "proxy/control/settings_file.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "proxy/config/file.h"
#include "proxy/control/identity_source.h"

namespace mooring::control {
namespace {

// HoldsToken: a token stands in the file itself, and is not of the environment or of a file of its
// own.
bool HoldsToken(const std::string& text, const config::Settings& settings) {
  const auto holds = [&text](const std::string& token) {
    return !token.empty() && text.find(token) != std::string::npos;
  };
  return holds(settings.agent.token) ||
         std::any_of(settings.services.begin(), settings.services.end(),
                     [&](const auto& service) { return holds(service.token); });
}

Status CanBeRead(const config::NamedFile& file) {
  if (!file.folder) {
    const auto text = config::ReadFile(file.path);
    return text ? Ok() : text.error();
  }
  std::error_code error;
  const std::filesystem::directory_iterator opened(file.path, error);
  return error ? Invalid(file.path + ": " + error.message()) : Ok();
}

void CheckIdentities(config::ParsedYaml* parsed) {
  for (const config::ServiceSettings& service : parsed->settings.services) {
    if (!service.identity) continue;
    const Status good = CheckFileIdentity(*service.identity);
    if (good) continue;
    const auto named =
        std::find_if(parsed->files.begin(), parsed->files.end(),
                     [&](const auto& file) { return file.path == service.identity->certificate; });
    const bool known = named != parsed->files.end();
    parsed->problems.push_back(
        {known ? named->line : 0, known ? named->column : 0, "identity: " + good.error().message});
  }
}

}  // namespace

Result<config::ParsedYaml> ReadSettingsFile(const std::string& path,
                                            const config::Environment& environment) {
  const auto text = config::ReadFile(path);
  if (!text) return text.error();
  const std::string absolute = std::filesystem::absolute(path).string();
  config::ParsedYaml parsed =
      config::ParseYaml(*text, std::filesystem::path(absolute).parent_path().string(), environment);
  parsed.settings.file = absolute;
  if (parsed.problems.empty() && HoldsToken(*text, parsed.settings)) {
    if (const std::string warning = config::OpenToOthers(path); !warning.empty())
      parsed.settings.warnings.push_back("it holds a token, and " + warning);
  }
  return parsed;
}

void CheckNamedFiles(config::ParsedYaml* parsed) {
  const std::size_t before = parsed->problems.size();
  for (const config::NamedFile& file : parsed->files) {
    if (const Status good = CanBeRead(file); !good) {
      parsed->problems.push_back(
          {file.line, file.column, file.key + ": cannot be read: " + good.error().message});
    }
  }
  // One that is not there has been named.
  if (parsed->problems.size() == before) CheckIdentities(parsed);
  config::SortByPlace(&parsed->problems);
}

}  // namespace mooring::control
