// Ejection: whether one endpoint is out of service for its failures, and until when.
//
// Shared by all workers. Anyone reads it, without a lock: whether an endpoint is out is asked at
// each choice. Outliers alone writes it, but for ClaimProbe. Relaxed atomics, because a reader
// wants each number, not an order between them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "proxy/net/clock.h"

namespace mooring::data {

// EjectionRules is when an endpoint is ejected, and for how long.
struct EjectionRules {
  unsigned after = 3;                 // failures in a row; 0: nobody is ejected
  net::milliseconds time{1'000};      // the first one; the n-th is n times as long
  net::milliseconds longest{30'000};  // but no longer than this; what is by chance comes on top
  net::milliseconds quiet{10'000};    // back for so long: the next one counts one less
  // of ejections that are due, in percent: the others are let pass
  unsigned enforced = 100;
  // of the endpoints, in percent: no more than these are out at a time, and never the last
  unsigned share = 100;
};

class Ejection final {
 public:
  // A probe is made so often at most, by all workers together.
  static constexpr net::milliseconds kProbeEvery{1'000};

  // out: no search is given it but as its last resort. It stays out when its time is over, until an
  // attempt has proven it.
  bool out() const { return out_.load(std::memory_order_relaxed); }
  // since and until are of the last ejection, also once it is back
  net::MonotonicTime since() const { return Read(since_); }
  net::MonotonicTime until() const { return Read(until_); }
  // back_at is when it was last proven while it was out
  net::MonotonicTime back_at() const { return Read(back_at_); }
  // step is how many times EjectionRules::time the last ejection was meant to be
  unsigned step() const { return step_.load(std::memory_order_relaxed); }
  std::int64_t count() const { return count_.load(std::memory_order_relaxed); }
  std::int64_t probes() const { return probes_.load(std::memory_order_relaxed); }
  std::int64_t probes_failed() const { return probes_failed_.load(std::memory_order_relaxed); }

  // Covers: an attempt that began then says nothing of the time after the last ejection.
  bool Covers(net::MonotonicTime began) const { return began <= since(); }

  // ClaimProbe is true for one caller a second, once the time is over. To be called by any worker.
  bool ClaimProbe(net::MonotonicTime now) noexcept {
    if (!out()) return false;
    Rep due = probe_at_.load(std::memory_order_relaxed);
    return now.time_since_epoch().count() >= due &&
           probe_at_.compare_exchange_strong(due, (now + kProbeEvery).time_since_epoch().count(),
                                             std::memory_order_relaxed);
  }

  // For Outliers, one at a time.
  void Begin(unsigned step, net::MonotonicTime now, net::MonotonicTime until) noexcept {
    step_.store(step, std::memory_order_relaxed);
    Write(since_, now);
    Write(until_, until);
    Write(probe_at_, until);
    count_.fetch_add(1, std::memory_order_relaxed);
    out_.store(true, std::memory_order_relaxed);
  }
  void End(net::MonotonicTime now) noexcept {
    Write(back_at_, now);
    out_.store(false, std::memory_order_relaxed);
  }
  void ProbeBegun() noexcept { probes_.fetch_add(1, std::memory_order_relaxed); }
  void ProbeFailed() noexcept { probes_failed_.fetch_add(1, std::memory_order_relaxed); }

 private:
  using Rep = net::MonotonicTime::rep;
  static constexpr Rep kNever = net::MonotonicTime::min().time_since_epoch().count();

  static net::MonotonicTime Read(const std::atomic<Rep>& time) {
    return net::MonotonicTime(net::MonotonicTime::duration(time.load(std::memory_order_relaxed)));
  }
  static void Write(std::atomic<Rep>& time, net::MonotonicTime now) noexcept {
    time.store(now.time_since_epoch().count(), std::memory_order_relaxed);
  }

  std::atomic<bool> out_{false};
  std::atomic<unsigned> step_{0};
  std::atomic<Rep> since_{kNever};
  std::atomic<Rep> until_{kNever};
  std::atomic<Rep> back_at_{kNever};
  std::atomic<Rep> probe_at_{kNever};
  std::atomic<std::int64_t> count_{0};
  std::atomic<std::int64_t> probes_{0};
  std::atomic<std::int64_t> probes_failed_{0};
};

}  // namespace mooring::data
