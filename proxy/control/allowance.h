// Allowance: how soon a question may be asked again after an answer. A token bucket: answers may
// follow each other at once so often, then at a rate. An agent that re-issues leaves in a loop (25
// a second were seen) must not keep us busy, and a change must not wait. Pure.
#pragma once

#include <algorithm>
#include <chrono>

#include "proxy/net/clock.h"

namespace mooring::control {

class Allowance final {
 public:
  static constexpr double kBurst = 4;
  static constexpr double kPerSecond = 4;

  explicit Allowance(net::MonotonicTime now) : at_(now) {}

  // Take is the pause before the next question, which is then allowed: 0, or the time until it is.
  net::milliseconds Take(net::MonotonicTime now) {
    const double elapsed = std::chrono::duration<double>(now - at_).count();
    left_ = std::min(kBurst, left_ + elapsed * kPerSecond);
    at_ = now;
    left_ -= 1;
    if (left_ >= 0) return net::milliseconds(0);
    return net::milliseconds(static_cast<net::milliseconds::rep>(-left_ / kPerSecond * 1000) + 1);
  }

 private:
  double left_ = kBurst;
  net::MonotonicTime at_;
};

}  // namespace mooring::control
