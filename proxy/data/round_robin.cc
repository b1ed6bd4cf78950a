#include "proxy/data/round_robin.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace mooring::data {
namespace {

constexpr double kGoldenSection = 0.6180339887498949;

std::uint64_t WeightOf(const Endpoint& endpoint) {
  return static_cast<std::uint64_t>(std::max(endpoint.weight, 1));
}

}  // namespace

void RoundRobin::Use(std::span<const Endpoint> endpoints) noexcept {
  endpoints_ = endpoints;
  measured_ = false;
}

void RoundRobin::Measure() {
  std::uint64_t divisor = 0;
  bool equal = true;
  for (const Endpoint& endpoint : endpoints_) {
    divisor = std::gcd(divisor, WeightOf(endpoint));
    equal = equal && WeightOf(endpoint) == WeightOf(endpoints_.front());
  }
  ends_.clear();
  circle_ = endpoints_.size();
  if (!equal) {
    circle_ = 0;
    ends_.reserve(endpoints_.size());
    for (const Endpoint& endpoint : endpoints_)
      ends_.push_back(circle_ += WeightOf(endpoint) / divisor);
  }
  step_ = std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(static_cast<double>(circle_) * kGoldenSection));
  while (std::gcd(step_, circle_) != 1) ++step_;
  measured_ = true;
}

std::size_t RoundRobin::At(std::uint64_t turn) const {
  // Weights are below 2^16 and endpoints far fewer than 2^16: the product fits.
  const std::uint64_t place = (start_ % circle_ + turn % circle_ * step_) % circle_;
  if (ends_.empty()) return static_cast<std::size_t>(place);
  return static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), place) -
                                  ends_.begin());
}

const Endpoint* RoundRobin::Pick(Choice& choice) {
  if (endpoints_.empty()) return nullptr;
  if (!measured_) Measure();
  const auto is_new = [&](const Endpoint& endpoint) {
    return !choice.tried.contains(endpoint.history);
  };
  const auto give = [&](const Endpoint& endpoint) {
    choice.last = endpoint.history;
    return &endpoint;
  };
  if (!std::exchange(choice.begun, true)) {
    choice.turn = next_++;
    return give(endpoints_[At(choice.turn)]);
  }
  if (choice.last) choice.tried.insert(std::exchange(choice.last, nullptr));
  const std::size_t count = endpoints_.size();
  for (std::size_t i = 0; i < count; ++i) {
    if (const Endpoint& endpoint = endpoints_[At(++choice.turn)]; is_new(endpoint))
      return give(endpoint);
  }
  // The turns of light ones are far between: here all are looked at.
  const std::size_t first = At(choice.turn);
  for (std::size_t i = 0; i < count; ++i) {
    if (const Endpoint& endpoint = endpoints_[(first + i) % count]; is_new(endpoint))
      return give(endpoint);
  }
  return nullptr;
}

}  // namespace mooring::data
