// PeakAverage: a moving average of times that follows a rise at once and a fall slowly, and that
// falls while nobody measures, so that what was slow once is tried again.
//
// Shared by all workers, without a lock: value and time stand in one word. Of two that add at once
// one may be lost.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <optional>

#include "proxy/net/clock.h"

namespace mooring::data {

class PeakAverage final {
 public:
  // After this long without a measurement it has fallen to 1/e.
  static constexpr std::chrono::milliseconds kDecay{10'000};

  void Add(std::chrono::microseconds sample, net::MonotonicTime now) noexcept {
    const auto measured = static_cast<double>(sample.count());
    double value = measured;
    if (const std::uint64_t word = word_.load(std::memory_order_relaxed); word != kNone) {
      const double before = Value(word);
      const double weight = Faded(word, now);
      if (measured < before) value = before * weight + measured * (1 - weight);
    }
    const auto kept = static_cast<std::uint64_t>(std::clamp(value, 1.0, kMost));
    word_.store(kept << 32U | Stamp(now), std::memory_order_relaxed);
  }
  // At is the average in microseconds; absent: nothing has been measured.
  std::optional<double> At(net::MonotonicTime now) const noexcept {
    const std::uint64_t word = word_.load(std::memory_order_relaxed);
    if (word == kNone) return std::nullopt;
    return Value(word) * Faded(word, now);
  }

 private:
  static constexpr std::uint64_t kNone = 0;
  static constexpr double kMost = 4'000'000'000;  // an hour, which 32 bits hold

  static double Value(std::uint64_t word) { return static_cast<double>(word >> 32U); }
  // Stamp is the time in milliseconds, as far as 32 bits tell it apart.
  static std::uint32_t Stamp(net::MonotonicTime now) {
    return static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count());
  }
  // Faded is what is left of 1 since the word was written. Clocks of two workers are a moment
  // apart: what is in the future is of now.
  static double Faded(std::uint64_t word, net::MonotonicTime now) {
    const auto passed = static_cast<std::int32_t>(Stamp(now) - static_cast<std::uint32_t>(word));
    return std::exp(-static_cast<double>(std::max(passed, 0)) /
                    static_cast<double>(kDecay.count()));
  }

  std::atomic<std::uint64_t> word_{kNone};  // microseconds above, time below
};

}  // namespace mooring::data
