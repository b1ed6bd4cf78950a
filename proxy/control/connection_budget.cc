#include "proxy/control/connection_budget.h"

#include <algorithm>
#include <numeric>

#include "proxy/config/settings.h"

namespace mooring::control {

ConnectionBudget::ConnectionBudget(unsigned of_one) : of_one_(of_one) {}

unsigned ConnectionBudget::Limit(unsigned of_one, unsigned services) {
  const unsigned first = std::max(of_one, config::kLeastAgentConnections);
  const unsigned further = services > 1 ? std::min(services - 1, kMost) : 0;
  return std::max(first, std::min(kMost, first + kPerService * further));
}

std::size_t ConnectionBudget::Claims() const {
  return std::accumulate(claims_.begin(), claims_.end(), std::size_t{0});
}

// By what they may claim, not by what they have claimed so far: a blocking query that began before
// there was a crowd would keep its connection for its time. One connection is for what is answered
// soon, and one for upstreams.
bool ConnectionBudget::Crowded() const { return 1 + kPerService * services_ + 2 > limit(); }

bool ConnectionBudget::Grants(Own own) const {
  if (own == Own::kNone) return false;
  return own == Own::kRoots || own == Own::kIntentionList || !Crowded();
}

std::size_t ConnectionBudget::own() const {
  return Crowded() ? claims_[Index(Own::kRoots)] + claims_[Index(Own::kIntentionList)] : Claims();
}

std::size_t ConnectionBudget::shared() const { return Crowded() ? kShortInCrowd : 1; }

std::size_t ConnectionBudget::seats() const {
  const std::size_t taken = own() + shared();
  return taken < limit() ? limit() - taken : 0;
}

}  // namespace mooring::control
