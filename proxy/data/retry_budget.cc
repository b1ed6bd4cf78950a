#include "proxy/data/retry_budget.h"

#include <algorithm>
#include <chrono>

namespace mooring::data {
namespace {

constexpr std::int64_t kConnectionsEach = 5;  // new connections that bring one attempt
constexpr std::int64_t kEachSecond = 3;

}  // namespace

void RetryBudget::NoteConnection(net::MonotonicTime now) noexcept {
  const std::lock_guard lock(mutex_);
  Refill(now);
  Add(kAttempt / kConnectionsEach);
}

bool RetryBudget::Take(net::MonotonicTime now) noexcept {
  const std::lock_guard lock(mutex_);
  Refill(now);
  if (saved_ < kAttempt) return false;
  saved_ -= kAttempt;
  return true;
}

void RetryBudget::GiveBack() noexcept {
  const std::lock_guard lock(mutex_);
  Add(kAttempt);
}

void RetryBudget::Add(std::int64_t more) noexcept {
  saved_ = std::min(saved_ + more, kMost * kAttempt);
}

// Workers read their clocks at moments of their own, so `now` may be a little behind.
void RetryBudget::Refill(net::MonotonicTime now) noexcept {
  if (now <= refilled_at_) return;
  const auto passed = std::chrono::duration_cast<std::chrono::microseconds>(now - refilled_at_);
  refilled_at_ += passed;  // what is less than a microsecond counts the next time
  // a millionth of a second brings as many millionths of an attempt as a second brings attempts
  Add(std::min<std::int64_t>(passed.count(), kMost * kAttempt) * kEachSecond);
}

}  // namespace mooring::data
