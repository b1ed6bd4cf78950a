// Shortage on purpose: one allocation of this thread fails, or all from one on.
#pragma once

#include <cstddef>

namespace mooring::test {

// FailingNew makes allocations of this thread fail, from the n-th on (the first is 1), `count` of
// them, until Lift: operator new by std::bad_alloc, malloc, calloc and realloc (under sanitizers,
// which keep those, OPENSSL_malloc alone) by a null pointer.
class FailingNew final {
 public:
  static constexpr std::size_t kAllThatFollow = static_cast<std::size_t>(-1);
  static void Arm(std::size_t n, std::size_t count);
  // Lift answers how many allocations have been asked for since Arm, and how many of them failed.
  struct Told {
    std::size_t asked = 0;
    std::size_t failed = 0;
  };
  static Told Lift();
  // Fails counts one allocation, and says whether it is to fail.
  static bool Fails();
};

}  // namespace mooring::test
