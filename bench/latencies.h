// Latencies: every single one is kept, so that percentiles are exact.
#pragma once

#include <algorithm>
#include <vector>

#include "bench/event_loop.h"

namespace mooring::bench {

class Latencies final {
 public:
  void Add(Clock::duration length) { micros_.push_back(static_cast<float>(Seconds(length) * 1e6)); }
  std::size_t count() const { return micros_.size(); }

  // Micros is the smallest latency that a share of `quantile` of all does not exceed; 0 if there
  // are none.
  double Micros(double quantile) {
    if (micros_.empty()) return 0;
    const auto last = static_cast<double>(micros_.size() - 1);
    const auto nth = micros_.begin() + static_cast<std::ptrdiff_t>(quantile * last + 0.5);
    std::nth_element(micros_.begin(), nth, micros_.end());
    return static_cast<double>(*nth);
  }

 private:
  std::vector<float> micros_;
};

}  // namespace mooring::bench
