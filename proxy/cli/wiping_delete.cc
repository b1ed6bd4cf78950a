// What is freed is wiped first.
//
// Keys and tokens pass through strings, vectors and parsers that know nothing of secrets: an answer
// of the agent grows byte by byte and leaves a copy behind at each step, a JSON lexer keeps the
// text of its last token. Wiping at the one place where all of them give their memory back leaves
// none out, also not in code to come. It costs a memset of what is freed. Relayed bytes are
// allocated for only when a leg's kernel does not take them at once. BoringSSL wipes its own
// allocations. Linked into the program alone: sanitizers have an allocator of their own.
#include <malloc.h>
#include <string.h>

#include <cstdlib>
#include <new>

#include "authz/sanitizer.h"

#if !MOORING_ADDRESS_SANITIZER

namespace {
void WipeAndFree(void* memory) noexcept {
  if (memory == nullptr) return;
  explicit_bzero(memory, malloc_usable_size(memory));
  std::free(memory);
}
}  // namespace

void operator delete(void* memory) noexcept { WipeAndFree(memory); }
void operator delete[](void* memory) noexcept { WipeAndFree(memory); }
void operator delete(void* memory, std::size_t) noexcept { WipeAndFree(memory); }
void operator delete[](void* memory, std::size_t) noexcept { WipeAndFree(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { WipeAndFree(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { WipeAndFree(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { WipeAndFree(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  WipeAndFree(memory);
}

#endif
