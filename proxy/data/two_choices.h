// TwoChoices: of two endpoints drawn at random, each as often as its weight says, the one with less
// to carry.
//
// Comparing two does nearly as well as comparing all, and workers and sidecars that see the same
// loads do not all run to the same one. Where both carry as much it is the first drawn, so that
// weights hold while nothing is to do. What an endpoint carries is known of this process alone.
#pragma once

#include <cstdint>
#include <span>

#include "proxy/data/load_balancer.h"
#include "proxy/data/lot.h"

namespace mooring::data {

class TwoChoices : public LoadBalancer {
 public:
  explicit TwoChoices(std::uint64_t seed) : lot_(seed) {}

  void Use(std::span<const Endpoint> endpoints) noexcept final { lot_.Use(endpoints); }

 private:
  const Endpoint* Choose(Choice& choice, const Among& among, net::MonotonicTime now) final;
  // IsBetter: `one` carries less than `other`.
  virtual bool IsBetter(const Endpoint& one, const Endpoint& other,
                        net::MonotonicTime now) const = 0;

  Lot lot_;
};

// LeastConnections: fewer connections, for its weight, attempts included.
class LeastConnections final : public TwoChoices {
 public:
  using TwoChoices::TwoChoices;

 private:
  bool IsBetter(const Endpoint& one, const Endpoint& other, net::MonotonicTime now) const override;
};

// LeastTime: what it took lately to connect, TLS included, times the connections that it would then
// have. How long sessions last says nothing of an instance, and is not measured. One that was never
// measured is tried, but by one attempt at a time.
class LeastTime final : public TwoChoices {
 public:
  using TwoChoices::TwoChoices;

 private:
  bool IsBetter(const Endpoint& one, const Endpoint& other, net::MonotonicTime now) const override;
};

}  // namespace mooring::data
