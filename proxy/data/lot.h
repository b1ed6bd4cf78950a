// Lot: draws endpoints of a list at random, each as often as its weight says.
//
// Of one worker. The list must stay until the next Use.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "proxy/data/endpoint.h"
#include "proxy/data/random.h"
#include "proxy/data/weights.h"

namespace mooring::data {

class Lot final {
 public:
  explicit Lot(std::uint64_t seed) : random_(seed) {}

  void Use(std::span<const Endpoint> endpoints) noexcept { weights_.Use(endpoints); }
  // Draw is one of the first `count` that fits; null if none does. Nearly always one of the first
  // few that are drawn does: only where it does not, all are looked at.
  template <typename Fits>
  const Endpoint* Draw(std::size_t count, Fits fits) {
    weights_.Measure();
    const std::span<const Endpoint> endpoints = weights_.endpoints().first(count);
    if (endpoints.empty()) return nullptr;
    for (int i = 0; i < kDraws; ++i) {
      const Endpoint& drawn = endpoints[weights_.At(random_.Below(weights_.Sum(count)))];
      if (fits(drawn)) return &drawn;
    }
    const Endpoint* chosen = nullptr;
    std::uint64_t sum = 0;
    for (const Endpoint& endpoint : endpoints) {
      if (!fits(endpoint)) continue;
      const auto weight = static_cast<std::uint64_t>(std::max(endpoint.weight, 1));
      sum += weight;
      if (random_.Below(sum) < weight) chosen = &endpoint;
    }
    return chosen;
  }

 private:
  static constexpr int kDraws = 16;

  Random random_;
  Weights weights_;
};

}  // namespace mooring::data
