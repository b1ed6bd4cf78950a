#include "proxy/data/weights.h"

#include <algorithm>
#include <numeric>

namespace mooring::data {
namespace {

std::uint64_t WeightOf(const Endpoint& endpoint) {
  return static_cast<std::uint64_t>(std::max(endpoint.weight, 1));
}

}  // namespace

void Weights::Measure() {
  if (measured_) return;
  std::uint64_t divisor = 0;
  bool equal = true;
  for (const Endpoint& endpoint : endpoints_) {
    divisor = std::gcd(divisor, WeightOf(endpoint));
    equal = equal && WeightOf(endpoint) == WeightOf(endpoints_.front());
  }
  ends_.clear();
  if (!equal) {
    std::uint64_t sum = 0;
    ends_.reserve(endpoints_.size());
    for (const Endpoint& endpoint : endpoints_)
      ends_.push_back(sum += WeightOf(endpoint) / divisor);
  }
  measured_ = true;
}

std::size_t Weights::At(std::uint64_t place) const {
  if (ends_.empty()) return static_cast<std::size_t>(place);
  return static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), place) -
                                  ends_.begin());
}

}  // namespace mooring::data
