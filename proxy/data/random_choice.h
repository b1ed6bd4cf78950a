// RandomChoice: any endpoint, each as often as its weight says.
#pragma once

#include <cstdint>
#include <span>

#include "proxy/data/load_balancer.h"
#include "proxy/data/lot.h"

namespace mooring::data {

class RandomChoice final : public LoadBalancer {
 public:
  explicit RandomChoice(std::uint64_t seed) : lot_(seed) {}

  void Use(std::span<const Endpoint> endpoints) noexcept override { lot_.Use(endpoints); }

 private:
  const Endpoint* Choose(Choice& choice, const Among& among, net::MonotonicTime) override {
    return lot_.Draw(among.count,
                     [&](const Endpoint& endpoint) { return Fits(choice, among, endpoint); });
  }

  Lot lot_;
};

}  // namespace mooring::data
