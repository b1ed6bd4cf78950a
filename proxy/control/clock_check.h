// ClockCheck: how far our clock is from the agent's, by the Date of its answers (RFC 9110 6.6.1).
//
// Certificates are valid by the clock: one that is minutes off refuses peers whom others accept,
// and leaves of ours that are still good. One answer proves nothing (it may have lain in a
// suspended machine), two in a row do. Pure but for its memory.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace mooring::control {

class ClockCheck final {
 public:
  static constexpr std::chrono::seconds kMost{30};

  // Take notes the Date header of an answer that came at `now`; one that cannot be read is left
  // out. It returns whether off() has changed.
  bool Take(std::string_view date, std::chrono::system_clock::time_point now);

  // Off: by how much our clock is ahead of the agent's, if that is more than kMost either way;
  // negative: behind.
  std::optional<std::chrono::seconds> off() const { return off_; }

 private:
  std::optional<std::chrono::seconds> last_;
  std::optional<std::chrono::seconds> off_;
};

}  // namespace mooring::control
