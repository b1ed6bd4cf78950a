// What the sidecar tells its operator at start. Texts that consul users know keep consul's wording
// and say besides what to do.
#pragma once

#include <string>
#include <vector>

#include "proxy/config/settings.h"
#include "proxy/control/agent.h"

namespace mooring::sidecar {

// Starting is what the start says on standard output: lines below "Mooring proxy starting...", or,
// where the log is JSON, a line of it for each service and one for the process. `agent` says where
// the agent is, and by whose token it is asked where that is one for all; empty if none is used.
std::string Starting(const config::Settings& settings, const std::string& agent);

// `filtered`: the agent has said (from 1.11 on) that its list leaves out what the token may not
// see.
std::string NoSidecar(const std::string& service_id, std::size_t services_seen, bool filtered,
                      const std::string& token_name);
// ChooseOne is what stands below "More than one sidecar proxy registered for ...".
std::string ChooseOne(const std::vector<std::string>& proxy_ids);

}  // namespace mooring::sidecar
