// RetryBudget: how many attempts beyond its first one the searches of an upstream may begin.
//
// Without it an upstream in trouble gets a multiple of its load just then. A fifth of the new
// connections may be tried once more, and three a second besides; what is not used is saved up, up
// to kMost, and so much is there at the start. Shared by the workers of a process, on any thread;
// the time is an argument. Source: the budgets of Finagle (20 %) and Envoy (20 %, at least 3).
#pragma once

#include <cstdint>
#include <mutex>

#include "proxy/net/clock.h"

namespace mooring::data {

class RetryBudget final {
 public:
  static constexpr int kMost = 30;

  // NoteConnection adds the part that a new connection brings.
  void NoteConnection(net::MonotonicTime now) noexcept;
  // Take takes one attempt out of it. False: it is used up.
  bool Take(net::MonotonicTime now) noexcept;
  // GiveBack is for one that was taken, and has not begun.
  void GiveBack() noexcept;

 private:
  static constexpr std::int64_t kAttempt = 1'000'000;  // what is saved is counted in millionths

  void Add(std::int64_t more) noexcept;
  void Refill(net::MonotonicTime now) noexcept;

  std::mutex mutex_;
  std::int64_t saved_ = kMost * kAttempt;  // guarded by mutex_
  net::MonotonicTime refilled_at_{};       // guarded by mutex_
};

}  // namespace mooring::data
