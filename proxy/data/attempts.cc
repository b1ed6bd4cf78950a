#include "proxy/data/attempts.h"

#include <algorithm>
#include <chrono>

namespace mooring::data {
namespace {

// Each attempt gets its share of what remains, of this many at most.
constexpr std::size_t kShares = 3;

}  // namespace

net::milliseconds Attempts::Left(net::MonotonicTime now) const {
  return std::chrono::duration_cast<net::milliseconds>(give_up_ - now);
}

net::milliseconds Attempts::Share(net::MonotonicTime began, std::size_t endpoints) const {
  // This one and those after it; the list may have become shorter since the first.
  const std::size_t ahead = endpoints >= begun_ ? endpoints + 1 - begun_ : 1;
  return Left(began) / static_cast<net::milliseconds::rep>(std::min(ahead, kShares));
}

void Attempts::Failed(CloseReason reason, bool another) {
  last_ = reason;
  if (reason == CloseReason::kDenied && ++denials_ == 1)
    most_ = std::min(most_, begun_ + (another ? 0 : 1));
}

CloseReason Attempts::Verdict(bool exhausted) const {
  if (last_ == CloseReason::kOutOfResources) return last_;  // not the endpoints' doing
  // What one of them says holds for all, and is worth more than that another did not answer.
  if (denials_ > 0) return CloseReason::kDenied;
  return exhausted && begun_ > 1 ? CloseReason::kConnectFailed : last_;
}

}  // namespace mooring::data
