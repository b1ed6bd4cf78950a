// What a stretch of code allocates: operator new, BoringSSL's heap and malloc, replaced for the
// whole test executable.
#pragma once

#include <cstddef>

namespace mooring::test {

// These sanitizers keep the heap to themselves; there nothing is replaced, and nothing counted.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kCountsNew = false;
#else
inline constexpr bool kCountsNew = true;
#endif

struct Allocations {
  std::size_t by_new = 0;
  std::size_t by_boringssl = 0;  // by OPENSSL_malloc
  // all of them: BoringSSL takes the buffers of its records past OPENSSL_malloc
  std::size_t by_malloc = 0;
};

// CountedNew counts this thread's allocations while it lives. One at a time.
class CountedNew final {
 public:
  CountedNew();
  ~CountedNew();
  CountedNew(const CountedNew&) = delete;
  CountedNew& operator=(const CountedNew&) = delete;

  Allocations so_far() const;
};

}  // namespace mooring::test
