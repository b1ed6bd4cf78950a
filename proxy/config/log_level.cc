#include "proxy/config/log_level.h"

#include <algorithm>
#include <string>

#include "authz/text.h"

namespace mooring::config {

Result<LogLevel> ParseLogLevel(std::string_view text) {
  std::string upper(text);
  std::transform(upper.begin(), upper.end(), upper.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  if (upper == "TRACE") return LogLevel::kTrace;
  if (upper == "DEBUG") return LogLevel::kDebug;
  if (upper == "INFO") return LogLevel::kInfo;
  if (upper == "WARN") return LogLevel::kWarn;
  if (upper == "ERR" || upper == "ERROR") return LogLevel::kError;
  return Invalid("Invalid log level: " + authz::Shortened(text) +
                 ". Valid log levels are: [TRACE DEBUG INFO WARN ERR ERROR]");
}

}  // namespace mooring::config
