#include "proxy/config/log_level.h"

#include <algorithm>
#include <array>
#include <utility>

#include "authz/text.h"

namespace mooring::config {
namespace {

// Of two words for one level the first is written.
constexpr std::array<std::pair<std::string_view, LogLevel>, 6> kWords{
    {{"TRACE", LogLevel::kTrace},
     {"DEBUG", LogLevel::kDebug},
     {"INFO", LogLevel::kInfo},
     {"WARN", LogLevel::kWarn},
     {"ERR", LogLevel::kError},
     {"ERROR", LogLevel::kError}}};

}  // namespace

Result<LogLevel> ParseLogLevel(std::string_view text) {
  std::string upper(text);
  std::transform(upper.begin(), upper.end(), upper.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  const auto known = std::find_if(kWords.begin(), kWords.end(),
                                  [&upper](const auto& word) { return word.first == upper; });
  if (known != kWords.end()) return known->second;
  return Invalid("Invalid log level: " + authz::Shortened(text) +
                 ". Valid log levels are: [TRACE DEBUG INFO WARN ERR ERROR]");
}

std::string LogLevelText(const LogLevel& level) {
  const auto word = std::find_if(kWords.begin(), kWords.end(),
                                 [level](const auto& each) { return each.second == level; });
  return std::string(word->first);
}

}  // namespace mooring::config
