// RunDev: the command `mooring dev`, a stand-in for a Consul agent to try and to test with. Not for
// production.
#pragma once

#include <string>
#include <vector>

namespace mooring::dev {

// RunDev serves until SIGINT or SIGTERM and returns the exit status. `arguments` are those after
// `dev` (see DevUsage). Log lines go to stderr.
int RunDev(const std::vector<std::string>& arguments);

std::string DevUsage();

}  // namespace mooring::dev
