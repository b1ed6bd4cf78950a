// UpstreamMemory: what one service remembers of an upstream, and its workers share.
//
// One for each listener, of which it is: it outlives the upstream's settings and every list of its
// endpoints. The control thread makes it and hands its parts on in UpstreamRules; each part says
// who else may use it.
#pragma once

#include <memory>

#include "proxy/data/caps.h"
#include "proxy/data/endpoint_history.h"
#include "proxy/data/outliers.h"
#include "proxy/data/retry_budget.h"
#include "proxy/data/sticky.h"

namespace mooring::data {

struct UpstreamMemory {
  // OfAnother is for another list of endpoints of the same upstream: their histories are their own,
  // the rest is shared.
  std::shared_ptr<UpstreamMemory> OfAnother() const {
    return std::shared_ptr<UpstreamMemory>(
        new UpstreamMemory{.outliers = outliers, .kept = kept, .retries = retries, .caps = caps});
  }

  Histories histories{};  // of its endpoints
  const std::shared_ptr<Outliers> outliers = std::make_shared<Outliers>();
  const std::shared_ptr<Kept> kept = std::make_shared<Kept>();
  const std::shared_ptr<RetryBudget> retries = std::make_shared<RetryBudget>();
  const std::shared_ptr<UpstreamCaps> caps = std::make_shared<UpstreamCaps>();
};

}  // namespace mooring::data
