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

net::milliseconds Attempts::Share(net::MonotonicTime now, std::size_t endpoints) const {
  // This one and those after it; the list may have become shorter since the first.
  const std::size_t ahead = endpoints >= begun_ ? endpoints + 1 - begun_ : 1;
  return Left(now) / static_cast<net::milliseconds::rep>(std::min(ahead, kShares));
}

CloseReason Attempts::Verdict(bool exhausted) const {
  const bool ours = last_ == CloseReason::kOutOfResources;  // not the endpoints' doing
  return exhausted && begun_ > 1 && !ours ? CloseReason::kConnectFailed : last_;
}

}  // namespace mooring::data
