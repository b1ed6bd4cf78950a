#include "proxy/control/wait_limit.h"

#include <chrono>
#include <utility>

namespace mooring::control {
namespace {
constexpr net::milliseconds kSlack{250};
}  // namespace

bool WaitLimit::Cut(Cuts& cuts, net::milliseconds waited, net::milliseconds asked,
                    bool by_gateway) {
  if (limit_ && asked > *limit_) return false;  // it was under way when the limit became known
  if (waited < kLeast || waited >= asked) {
    cuts.last.reset();
    return false;
  }
  const auto before = std::exchange(cuts.last, waited);
  const bool alike = before && std::chrono::abs(*before - waited) <= waited / 10 + kSlack;
  if (!by_gateway && !alike) return false;
  // The agent adds up to a sixteenth to a wait, and its answer takes time.
  limit_ = std::max(waited * 3 / 4, kLeast);
  return true;
}

}  // namespace mooring::control
