#include "proxy/log/heavy_hitters.h"

#include <algorithm>

namespace mooring::log {

void HeavyHitters::Add(std::string_view who) {
  who = who.substr(0, kMaxName);
  const auto known = std::find_if(counters_.begin(), counters_.end(),
                                  [&](const Counter& one) { return one.who == who; });
  if (known != counters_.end()) {
    ++known->count;
    return;
  }
  if (counters_.size() < kCounters) {
    counters_.push_back({std::string(who), 1, 0});
    return;
  }
  const auto smallest =
      std::min_element(counters_.begin(), counters_.end(),
                       [](const Counter& a, const Counter& b) { return a.count < b.count; });
  smallest->who.assign(who);  // the one thing that may fail, so it comes first
  smallest->error = smallest->count;
  ++smallest->count;
}

std::vector<HeavyHitters::Hitter> HeavyHitters::Largest(std::size_t most) const {
  std::vector<Hitter> all;
  for (const Counter& one : counters_)
    all.push_back({one.who, one.count - one.error, one.error == 0});
  std::sort(all.begin(), all.end(), [](const Hitter& a, const Hitter& b) {
    return a.at_least != b.at_least ? a.at_least > b.at_least : a.who < b.who;
  });
  if (all.size() > most) all.resize(most);
  return all;
}

}  // namespace mooring::log
