// Histogram: how many durations fell below each of a few bounds, with their sum.
//
// Written by any thread, read by any: relaxed atomics, because a reader wants each number, not an
// order between them. A reader may see a duration in its bucket and not yet in the sum.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace mooring::data {

using std::chrono::microseconds;

// Bounds of what takes a moment (connects, handshakes, answers), and of whole lives. Inclusive, in
// ascending order.
inline constexpr std::array<microseconds, 13> kMoments{
    microseconds(500),       microseconds(1'000),     microseconds(2'500),
    microseconds(5'000),     microseconds(10'000),    microseconds(25'000),
    microseconds(50'000),    microseconds(100'000),   microseconds(250'000),
    microseconds(500'000),   microseconds(1'000'000), microseconds(2'500'000),
    microseconds(10'000'000)};
inline constexpr std::array<microseconds, 9> kLives{
    std::chrono::milliseconds(10), std::chrono::milliseconds(100), std::chrono::seconds(1),
    std::chrono::seconds(10),      std::chrono::minutes(1),        std::chrono::minutes(10),
    std::chrono::hours(1),         std::chrono::hours(6),          std::chrono::hours(24)};

class Histogram final {
 public:
  // `bounds` is one of the lists above, or another constant.
  explicit Histogram(std::span<const microseconds> bounds) : bounds_(bounds) {}

  void Add(microseconds took) noexcept {
    std::size_t i = 0;
    while (i < bounds_.size() && took > bounds_[i]) ++i;
    counts_[i].fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(took.count(), std::memory_order_relaxed);
  }

  std::span<const microseconds> bounds() const { return bounds_; }
  // count is how many were above bound i-1 and not above bound i; i == bounds().size(): above all.
  std::int64_t count(std::size_t i) const { return counts_[i].load(std::memory_order_relaxed); }
  std::int64_t total() const {
    std::int64_t all = 0;
    for (const auto& each : counts_) all += each.load(std::memory_order_relaxed);
    return all;
  }
  // Quantile estimates below which duration that share of all lies (0.99), as Prometheus does:
  // evenly spread within a bucket, and the highest bound for what is above it. Absent: there are
  // none.
  std::optional<microseconds> Quantile(double share) const;
  microseconds sum() const { return microseconds(sum_.load(std::memory_order_relaxed)); }

 private:
  const std::span<const microseconds> bounds_;
  std::array<std::atomic<std::int64_t>, kMoments.size() + 1> counts_{};
  std::atomic<std::int64_t> sum_{0};  // microseconds
};

inline std::optional<microseconds> Histogram::Quantile(double share) const {
  std::array<std::int64_t, kMoments.size() + 1> counts{};
  std::int64_t all = 0;
  for (std::size_t i = 0; i <= bounds_.size(); ++i) all += counts[i] = count(i);
  if (all == 0) return std::nullopt;
  const double rank = share * static_cast<double>(all);
  double below = 0;
  for (std::size_t i = 0; i < bounds_.size(); ++i) {
    const auto here = static_cast<double>(counts[i]);
    if (here > 0 && below + here >= rank) {
      const auto low = static_cast<double>(i == 0 ? 0 : bounds_[i - 1].count());
      const auto high = static_cast<double>(bounds_[i].count());
      return microseconds(static_cast<std::int64_t>(low + (high - low) * (rank - below) / here));
    }
    below += here;
  }
  return bounds_.back();
}

}  // namespace mooring::data
