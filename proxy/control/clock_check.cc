#include "proxy/control/clock_check.h"

#include <ctime>
#include <string>
#include <utility>

namespace mooring::control {
namespace {

std::optional<std::chrono::system_clock::time_point> Parse(std::string_view date) {
  std::tm utc{};
  const std::string text(date);
  const char* end = strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return std::chrono::system_clock::from_time_t(timegm(&utc));
}

}  // namespace

bool ClockCheck::Take(std::string_view date, std::chrono::system_clock::time_point now) {
  const auto agents = Parse(date);
  if (!agents) return false;
  const auto ahead = std::chrono::round<std::chrono::seconds>(now - *agents);
  const auto before = std::exchange(last_, ahead);
  const auto beyond = [](std::chrono::seconds difference) {
    return std::chrono::abs(difference) > kMost;
  };
  const bool was_off = off_.has_value();
  if (!beyond(ahead)) {
    off_.reset();
  } else if (was_off || (before && beyond(*before))) {
    off_ = ahead;
  }
  return off_.has_value() != was_off;
}

}  // namespace mooring::control
