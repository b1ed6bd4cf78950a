// Log levels by name, as Consul's -log-level has them. Pure.
#pragma once

#include <string>
#include <string_view>

#include "authz/result.h"
#include "proxy/config/settings.h"

namespace mooring::config {

// ParseLogLevel reads TRACE, DEBUG, INFO, WARN, ERR or ERROR in any letter case.
Result<LogLevel> ParseLogLevel(std::string_view text);

// LogLevelText is the level in those words: "INFO".
std::string LogLevelText(const LogLevel& level);

}  // namespace mooring::config
