// What the sidecar tells its operator at start. Texts that consul users know keep consul's wording
// and say besides what to do.
#pragma once

#include <string>
#include <vector>

#include "proxy/config/settings.h"
#include "proxy/control/agent.h"

namespace mooring::sidecar {

// ServiceFacts and ProcessFacts are the lines below "Mooring proxy starting...". `agent` says where
// the agent is, and by whose token it is asked where that is one for all; empty if none is used.
std::string ServiceFacts(const config::ServiceSettings& settings);
std::string ProcessFacts(const config::Settings& settings, const std::string& agent);

// `filtered`: the agent has said (from 1.11 on) that its list leaves out what the token may not
// see.
std::string NoSidecar(const std::string& service_id, std::size_t services_seen, bool filtered,
                      const std::string& token_name);
// ChooseOne is what stands below "More than one sidecar proxy registered for ...".
std::string ChooseOne(const std::vector<std::string>& proxy_ids);

}  // namespace mooring::sidecar
