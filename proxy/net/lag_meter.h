// LagMeter: how long a loop has kept a timer waiting, at worst, within the last minute or two.
//
// It looks twice a second. Made and begun on the control thread before the loop runs, or on the
// loop's own; worst() and turned_at() are anybody's.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "proxy/net/loop.h"

namespace mooring::net {

class LagMeter final {
 public:
  explicit LagMeter(Loop& loop) : loop_(loop), timer_(loop, [this] { Look(); }) {}
  LagMeter(const LagMeter&) = delete;
  LagMeter& operator=(const LagMeter&) = delete;

  void Begin() {
    begun_ = loop_.now();
    Next();
  }
  // turned_at is when it looked last: long ago, and the loop stands still.
  MonotonicTime turned_at() const {
    return MonotonicTime(MonotonicTime::duration(turned_at_.load(std::memory_order_relaxed)));
  }
  milliseconds worst() const {
    return milliseconds(
        std::max(now_.load(std::memory_order_relaxed), before_.load(std::memory_order_relaxed)));
  }

 private:
  static constexpr milliseconds kEvery{500};
  static constexpr std::chrono::minutes kSpan{1};

  void Next() {
    turned_at_.store(loop_.now().time_since_epoch().count(), std::memory_order_relaxed);
    due_ = loop_.now() + kEvery;
    timer_.Start(kEvery);
  }
  void Look() {
    const MonotonicTime now = loop_.now();
    const std::int64_t late = std::chrono::duration_cast<milliseconds>(now - due_).count();
    if (now - begun_ >= kSpan) {
      before_.store(now_.load(std::memory_order_relaxed), std::memory_order_relaxed);
      now_.store(0, std::memory_order_relaxed);
      begun_ = now;
    }
    if (late > now_.load(std::memory_order_relaxed)) now_.store(late, std::memory_order_relaxed);
    Next();
  }

  Loop& loop_;
  Timer timer_;
  MonotonicTime due_{};
  MonotonicTime begun_{};  // of the minute at hand
  std::atomic<MonotonicTime::rep> turned_at_{0};
  std::atomic<std::int64_t> now_{0};
  std::atomic<std::int64_t> before_{0};
};

}  // namespace mooring::net
