// Ends: how the last connections between two services ended, those alike together, for `why`. Pure.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "proxy/observe/account.h"

namespace mooring::observe {

struct End {
  std::shared_ptr<const Account> last;  // of those that are alike
  std::size_t times = 0;                // so many of those that are remembered
  // Its caller has proven nothing, and may be anybody: perhaps the source that is asked about.
  bool perhaps = false;
};

// EndsBetween puts together what is alike in direction, reason and detail, of `accounts` (the
// newest first) between these two, at most kMostEnds.
inline constexpr std::size_t kMostEnds = 8;
std::vector<End> EndsBetween(const std::vector<std::shared_ptr<const Account>>& accounts,
                             const std::string& source, const std::string& destination);

}  // namespace mooring::observe
