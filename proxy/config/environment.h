// What the environment says: the CONSUL_* variables of Consul's own tools, and systemd's state
// directory. Shared by flags and YAML.
//
// But for OwnEnvironment it reads nothing but the environment it is given.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/config/table.h"

namespace mooring::config {

using Environment = std::map<std::string, std::string>;

// OwnEnvironment is this process's, as it is now.
Environment OwnEnvironment();

// EnvironmentValue is the variable's value; empty if it is not set, which Consul takes for the
// same.
std::string EnvironmentValue(const Environment& environment, std::string_view name);

struct BadVariable {
  std::string_view name;
  std::string message;
};

// AgentFromEnvironment puts the variables of the agent's settings into their places, but for those
// of which `given` says that a flag or key replaces them. The first that cannot be used is
// returned. A boolean that cannot be read is a warning and not a value, as in Consul.
std::optional<BadVariable> AgentFromEnvironment(const Environment& environment,
                                                const std::function<bool(const Setting&)>& given,
                                                const Target& target);

// StateDirFromEnvironment takes the state directory that systemd made for us (StateDirectory= in
// the unit), if there is one; of several the first.
void StateDirFromEnvironment(const Environment& environment, Settings* settings);
// HandoverDirFromEnvironment takes a folder in the runtime directory that systemd made for us
// (RuntimeDirectory=), if there is one: that one's own mode is the unit's business.
void HandoverDirFromEnvironment(const Environment& environment, Settings* settings);

// SeccompFromEnvironment takes MOORING_SECCOMP, if it is set; returned if it cannot be used.
std::optional<BadVariable> SeccompFromEnvironment(const Environment& environment,
                                                  Settings* settings);

}  // namespace mooring::config
