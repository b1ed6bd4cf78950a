#include "authz/rfc3339.h"

#include <array>
#include <cstdio>
#include <ctime>

namespace mooring::authz {

std::string Rfc3339(std::chrono::system_clock::time_point time, int digits) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  const std::time_t seconds = std::chrono::system_clock::to_time_t(whole);
  std::tm utc{};
  if (gmtime_r(&seconds, &utc) == nullptr) return {};
  std::array<char, 96> text{};
  const int size =
      std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d", utc.tm_year + 1900,
                    utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
  std::string out(text.data(), static_cast<std::size_t>(size));
  if (digits > 0) {
    const auto nanoseconds =
        std::chrono::duration_cast<std::chrono::nanoseconds>(time - whole).count();
    std::snprintf(text.data(), text.size(), ".%09lld", static_cast<long long>(nanoseconds));
    out.append(text.data(), static_cast<std::size_t>(digits) + 1);
  }
  return out + 'Z';
}

}  // namespace mooring::authz
