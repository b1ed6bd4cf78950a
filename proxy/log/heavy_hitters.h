// HeavyHitters: who did something most often, in bounded memory however many there are. One thread.
//
// The space-saving algorithm (Metwally, Agrawal, El Abbadi: "Efficient Computation of Frequent and
// Top-k Elements in Data Streams", 2005): kCounters counters; a newcomer takes over the smallest
// one and inherits its number as its possible error. Who did more than 1/kCounters of all is always
// among them. While no counter was taken over the numbers are exact.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mooring::log {

class HeavyHitters final {
 public:
  static constexpr std::size_t kCounters = 16;
  static constexpr std::size_t kMaxName = 512;  // bytes; of longer names the beginning counts

  struct Hitter {
    std::string who;  // raw
    std::uint64_t at_least = 0;
    bool exact = true;  // it is at_least, not more
  };

  void Add(std::string_view who);
  // Largest has the `most` largest at most, the largest first.
  std::vector<Hitter> Largest(std::size_t most) const;
  void Clear() { counters_.clear(); }

 private:
  struct Counter {
    std::string who;
    std::uint64_t count = 0;
    std::uint64_t error = 0;  // by how much count may be too high
  };
  std::vector<Counter> counters_;
};

}  // namespace mooring::log
