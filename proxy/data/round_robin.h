// RoundRobin: the endpoints take turns, each as often as its weight says.
//
// In as many turns as the weights sum up to, each endpoint has exactly its share, and its turns are
// spread over that time. The turns are the multiples of a step over a circle on which each endpoint
// has an arc as long as its weight; the step is near the golden section, and has no divisor in
// common with the circle. Where on the circle it begins is an argument: at a random place each
// endpoint is the first as often as its weight says, so that many sidecars with few connections
// spread, too. A search whose endpoint has failed goes on from its own turn. It does not move on
// the others, or every search of two endpoints would begin with the dead one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "proxy/data/load_balancer.h"

namespace mooring::data {

class RoundRobin final : public LoadBalancer {
 public:
  explicit RoundRobin(std::uint64_t start) : start_(start) {}

  void Use(std::span<const Endpoint> endpoints) noexcept override;
  const Endpoint* Pick(Choice& choice) override;

 private:
  void Measure();
  std::size_t At(std::uint64_t turn) const;  // index of the endpoint whose turn it is

  const std::uint64_t start_;
  std::uint64_t next_ = 0;  // turn of the next search
  std::span<const Endpoint> endpoints_;
  bool measured_ = false;
  std::uint64_t circle_ = 0;  // sum of the weights, their greatest common divisor taken out
  std::uint64_t step_ = 1;
  std::vector<std::uint64_t> ends_;  // of the arcs, by index; empty: all are of length 1
};

}  // namespace mooring::data
