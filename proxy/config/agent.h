// How the local Consul agent is reached, as Consul's own tools are told it: the -http-addr forms
// and the CONSUL_* environment variables. Shared by flags and YAML.
//
// Knows neither of the two, and reads nothing but the environment it is given. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "authz/result.h"
#include "proxy/config/settings.h"

namespace mooring::config {

using Environment = std::map<std::string, std::string>;

// EnvironmentValue is the variable's value; empty if it is not set, which Consul takes for the
// same.
std::string EnvironmentValue(const Environment& environment, const std::string& name);

// AgentFromEnvironment reads every CONSUL_* variable but CONSUL_HTTP_ADDR, which a flag or key may
// replace before it is ever looked at. A boolean that cannot be read is a warning and not a value,
// as in Consul.
AgentSettings AgentFromEnvironment(const Environment& environment,
                                   std::vector<std::string>* warnings);

// ParseAgentAddress reads host:port, http://host[:port][/prefix], https://host[:port][/prefix],
// unix:///path and unix:path into `agent`, whose `https` must be that of CONSUL_HTTP_SSL before:
// http:// never takes it back (Consul, api.NewClient). A missing port is 80, with https 443; a
// missing host is 127.0.0.1. Relative unix paths count from `base_dir`. On an error `agent` is
// unchanged.
Status ParseAgentAddress(const std::string& text, AgentSettings* agent,
                         std::string_view base_dir = {});

// CheckAgent refuses what cannot work together, in Consul's words where it has any.
Status CheckAgent(const AgentSettings& agent);

}  // namespace mooring::config
