// Random: numbers for choices that need no secrecy, the same from one seed on every machine.
//
// Who chooses by chance has one of his own, so that a test or a simulation can be run again. Not
// for several threads.
#pragma once

#include <cstdint>

namespace mooring::data {

class Random final {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  // Next is any number (SplitMix64, Steele, Lea and Flood 2014).
  std::uint64_t Next() noexcept {
    std::uint64_t mixed = state_ += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31U);
  }
  // Below is from 0 to `limit` - 1. The limit is not 0, and far below 2^64: no number is seen more
  // often than others to speak of.
  std::uint64_t Below(std::uint64_t limit) noexcept { return Next() % limit; }
  // Unit is from 0 to below 1.
  double Unit() noexcept { return static_cast<double>(Next() >> 11U) * 0x1p-53; }

 private:
  std::uint64_t state_;
};

}  // namespace mooring::data
