// How the settings are written that code of their own reads: kind::Special. Each is as a YAML file
// has it; empty where it is left out. Pure.
#pragma once

#include <string>

#include "proxy/config/place.h"

namespace mooring::config {

std::string ShowNoWait(const Target& target);
std::string ShowPublicMode(const Target& target);
std::string ShowUpstreamMode(const Target& target);
std::string ShowFallback(const Target& target);
std::string ShowRules(const Target& target);
std::string ShowEndpoints(const Target& target);
std::string ShowSpiffeId(const Target& target);

}  // namespace mooring::config
