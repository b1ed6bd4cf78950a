#include "proxy/config/environment.h"

#include <unistd.h>

#include <utility>
#include <variant>

namespace mooring::config {

Environment OwnEnvironment() {
  Environment environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (const std::size_t equals = text.find('='); equals != std::string_view::npos)
      environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

std::string EnvironmentValue(const Environment& environment, std::string_view name) {
  const auto found = environment.find(std::string(name));
  return found == environment.end() ? std::string() : found->second;
}

std::optional<BadVariable> AgentFromEnvironment(const Environment& environment,
                                                const std::function<bool(const Setting&)>& given,
                                                const Target& target) {
  for (const Setting& setting : Table()) {
    if (setting.in != In::kAgent || setting.variable.empty()) continue;
    const std::string text = EnvironmentValue(environment, setting.variable);
    if (text.empty() || given(setting)) continue;
    const Status status = ReadValue(setting.value, text, {}, target);
    if (status) continue;
    if (!std::holds_alternative<kind::Switch>(setting.value)) {
      return BadVariable{setting.variable, status.error().message};
    }
    target.process.warnings.push_back("could not parse " + std::string(setting.variable) + ": " +
                                      status.error().message + "; it is ignored");
  }
  return std::nullopt;
}

namespace {

// FirstFolder is the first that systemd has made for the setting of that key; empty: there is none.
std::string FirstFolder(const Environment& environment, std::string_view key) {
  const std::string folders = EnvironmentValue(environment, FindKey(In::kFile, key)->variable);
  return folders.substr(0, folders.find(':'));
}

}  // namespace

void StateDirFromEnvironment(const Environment& environment, Settings* settings) {
  std::string folder = FirstFolder(environment, "state_dir");
  if (folder.empty()) return;
  settings->state_dir = std::move(folder);
  settings->state_dir_from_environment = true;
}

void HandoverDirFromEnvironment(const Environment& environment, Settings* settings) {
  const std::string folder = FirstFolder(environment, "handover_dir");
  if (folder.empty()) return;
  settings->handover_dir = folder + "/handover";
  settings->handover_dir_from_environment = true;
}

std::optional<BadVariable> SeccompFromEnvironment(const Environment& environment,
                                                  Settings* settings) {
  const Setting& setting = *FindKey(In::kConfine, "seccomp");
  const std::string text = EnvironmentValue(environment, setting.variable);
  if (text.empty()) return std::nullopt;
  ServiceSettings unused;
  const Status status = ReadValue(setting.value, text, {}, {*settings, unused});
  if (status) return std::nullopt;
  return BadVariable{setting.variable, status.error().message};
}

}  // namespace mooring::config
