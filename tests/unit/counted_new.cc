#include "tests/unit/counted_new.h"

#include <malloc.h>
#include <string.h>

#include <cerrno>
#include <cstdlib>
#include <new>

#include "tests/unit/failing_new.h"

namespace mooring::test {
namespace {
// Plain data: operator new runs before and after every other object of a thread.
thread_local bool counting = false;
thread_local Allocations counted;
thread_local bool failing = false;
thread_local std::size_t asked = 0;
thread_local std::size_t failed = 0;
thread_local std::size_t fail_from = 0;
thread_local std::size_t fail_count = 0;
}  // namespace

void FailingNew::Arm(std::size_t n, std::size_t count) {
  asked = failed = 0;
  fail_from = n;
  fail_count = count;
  failing = true;
}

FailingNew::Told FailingNew::Lift() {
  failing = false;
  return {asked, failed};
}

bool FailingNew::Fails() {
  if (!failing || ++asked < fail_from || failed >= fail_count) return false;
  ++failed;
  return true;
}

CountedNew::CountedNew() {
  counted = {};
  counting = true;
}

CountedNew::~CountedNew() { counting = false; }

Allocations CountedNew::so_far() const { return counted; }

}  // namespace mooring::test

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

extern "C" {
// glibc's own, under the names that stay when a program defines malloc. What they give, glibc's
// free takes back.
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);

void* malloc(std::size_t size) {
  if (mooring::test::counting) ++mooring::test::counted.by_malloc;
  if (!mooring::test::FailingNew::Fails()) return __libc_malloc(size);
  errno = ENOMEM;
  return nullptr;
}
void* calloc(std::size_t count, std::size_t size) {
  if (!mooring::test::FailingNew::Fails()) return __libc_calloc(count, size);
  errno = ENOMEM;
  return nullptr;
}
void* realloc(void* memory, std::size_t size) {
  if (size == 0 || !mooring::test::FailingNew::Fails()) return __libc_realloc(memory, size);
  errno = ENOMEM;
  return nullptr;
}
}

namespace {
void* Allocate(std::size_t size) { return std::malloc(size); }  // counts, and fails
}  // namespace

#else

namespace {
// One byte at least: of a block of none, ThreadSanitizer says that it has one, and reports who
// reads it.
void* Allocate(std::size_t size) {
  return mooring::test::FailingNew::Fails() ? nullptr : std::malloc(size == 0 ? 1 : size);
}
}  // namespace

#endif

namespace {

template <typename Take>
void* TakeOrThrow(const Take& take) {
  if (mooring::test::counting) ++mooring::test::counted.by_new;
  for (;;) {
    if (void* memory = take()) return memory;
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) throw std::bad_alloc();
    handler();
  }
}

}  // namespace

// The array forms of the library call these (C++20 [new.delete]). The nothrow form does, too, but a
// sanitizer's own does not, and would be freed by what is below.
void* operator new(std::size_t size) {
  return TakeOrThrow([&] { return Allocate(size == 0 ? 1 : size); });
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return TakeOrThrow([&] {
    const auto bytes = static_cast<std::size_t>(alignment);
    return std::aligned_alloc(bytes, (size + bytes - 1) / bytes * bytes);
  });
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return operator new(size);
  } catch (...) {
    return nullptr;
  }
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

// BoringSSL calls these instead of malloc and free where a program defines them. Wiping is then up
// to them.
extern "C" {
void* OPENSSL_memory_alloc(std::size_t size);
void OPENSSL_memory_free(void* memory);
std::size_t OPENSSL_memory_get_size(void* memory);

void* OPENSSL_memory_alloc(std::size_t size) {
  if (mooring::test::counting) ++mooring::test::counted.by_boringssl;
  return Allocate(size);
}
void OPENSSL_memory_free(void* memory) {
  explicit_bzero(memory, malloc_usable_size(memory));
  std::free(memory);
}
std::size_t OPENSSL_memory_get_size(void* memory) { return malloc_usable_size(memory); }
}
