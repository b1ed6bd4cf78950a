// Weights: a list of endpoints as arcs of a line, each as long as its weight. A number below the
// sum of the first ones is a place in one of these.
//
// Of one worker. The list must stay until the next Use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "proxy/data/endpoint.h"

namespace mooring::data {

class Weights final {
 public:
  // Use takes no memory: that is what Measure does, if need be, before the others are asked.
  void Use(std::span<const Endpoint> endpoints) noexcept {
    endpoints_ = endpoints;
    measured_ = false;
  }
  void Measure();
  std::span<const Endpoint> endpoints() const { return endpoints_; }
  // Sum is of the first `count`, what all weights of the list have in common taken out.
  std::uint64_t Sum(std::size_t count) const {
    return ends_.empty() || count == 0 ? count : ends_[count - 1];
  }
  // At is the index of the endpoint at a place, which is below the list's sum.
  std::size_t At(std::uint64_t place) const;

 private:
  std::span<const Endpoint> endpoints_;
  bool measured_ = false;
  std::vector<std::uint64_t> ends_;  // of the arcs, by index; empty: all are of length 1
};

}  // namespace mooring::data
