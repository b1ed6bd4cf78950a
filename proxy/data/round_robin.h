// RoundRobin: the endpoints take turns, each as often as its weight says.
//
// In as many turns as the weights sum up to, each endpoint has exactly its share, and its turns are
// spread over that time. The turns are the multiples of a step over a circle on which each endpoint
// has an arc as long as its weight; the step is near the golden section, and has no divisor in
// common with the circle. Where on the circle it begins is an argument: at a random place each
// endpoint is the first as often as its weight says, so that many sidecars with few connections
// spread, too. A search whose endpoint has failed goes on from its own turn. It does not move on
// the others, or every search of two endpoints would begin with the dead one. The turn of an
// endpoint that is out is nobody's: were it the next one's, that would carry both loads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "proxy/data/load_balancer.h"
#include "proxy/data/weights.h"

namespace mooring::data {

class RoundRobin final : public LoadBalancer {
 public:
  explicit RoundRobin(std::uint64_t start) : start_(start) {}

  void Use(std::span<const Endpoint> endpoints) noexcept override {
    weights_.Use(endpoints);
    count_ = 0;
  }

 private:
  const Endpoint* Choose(Choice& choice, const Among& among, net::MonotonicTime now) override;
  void Measure(std::size_t count);
  std::size_t At(std::uint64_t turn) const;  // index of the endpoint whose turn it is

  const std::uint64_t start_;
  std::uint64_t next_ = 0;  // turn of the next search
  Weights weights_;
  std::size_t count_ = 0;  // how many take turns; 0: not measured yet
  std::uint64_t circle_ = 0;
  std::uint64_t step_ = 1;
  std::size_t looks_ = 0;  // how often all were looked at: each time another one is chosen
};

}  // namespace mooring::data
