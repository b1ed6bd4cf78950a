// How the local Consul agent is reached, as Consul's own tools are told it: the forms of
// -http-addr, and what works together. Shared by flags, environment and YAML. Pure.
#pragma once

#include <string>
#include <string_view>

#include "authz/result.h"
#include "proxy/config/settings.h"

namespace mooring::config {

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
