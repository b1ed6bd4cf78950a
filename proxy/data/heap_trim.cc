#include "proxy/data/heap_trim.h"

#include <malloc.h>

#include <utility>

#include "authz/sanitizer.h"
#include "proxy/net/liveness.h"
#include "proxy/net/scratch.h"

namespace mooring::data {

HeapTrim::HeapTrim(net::Loop& loop) : loop_(loop), timer_(loop, [this] { Look(); }) {}

void HeapTrim::Begin() { timer_.Start(net::kLivenessCheck); }

void HeapTrim::Look() {
  timer_.Start(net::kLivenessCheck);
  loop_.scratch().Trim();
  if (std::exchange(ended_, false)) {
    due_ = true;
  } else if (std::exchange(due_, false)) {
#if !MOORING_ADDRESS_SANITIZER
    // A sanitizer's allocator leaves the C library's without its first call, which two workers
    // would then make at once.
    malloc_trim(0);
#endif
  }
}

}  // namespace mooring::data
