#include "tests/fuzz/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <vector>

#include "authz/sanitizer.h"
#include "tests/fuzz/fuzz.h"

#if MOORING_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

namespace mooring::fuzz {
namespace {

constexpr std::size_t kSize = std::size_t{256} << 20;
constexpr std::size_t kStep = 16;    // of addresses
constexpr std::size_t kAround = 16;  // before each block: its size; for the sanitizer, a wall

constexpr std::size_t kLine = 64;     // what is copied is a multiple of it
constexpr std::size_t kClose = 1024;  // of one range

struct Block {
  std::uint8_t* at;
  std::size_t size;
};

// In plain memory, whatever the thread's `new` gives: they are the arena's own.
std::uint8_t* begin = nullptr;
std::uint8_t* next = nullptr;
std::uint8_t* kept_end = nullptr;
thread_local bool new_is_ours = false;
thread_local bool ssl_is_ours = false;

// Off has the arena's own lists come from ordinary memory.
struct Off {
  Off() { std::swap(was, new_is_ours); }
  ~Off() { std::swap(was, new_is_ours); }
  bool was = false;
};

// Until it is kept: the blocks that are there, with their sizes. Those that came and went in the
// making, buffers of a handshake say, are most of the memory, and are not put back.
std::map<std::uint8_t*, std::size_t>& Live() {
  static auto& live = *new std::map<std::uint8_t*, std::size_t>;
  return live;
}

// Once it is kept: what is put back, and those blocks that have been given back since.
struct Range {
  std::uint8_t* at;
  std::size_t size;
  const std::uint8_t* was;
};
std::vector<Range>& Ranges() {
  static std::vector<Range>& ranges = *new std::vector<Range>;
  return ranges;
}
std::vector<Block>& Given() {
  static std::vector<Block>& given = *new std::vector<Block>;
  return given;
}

std::uint8_t* Map(std::size_t size) {
  void* mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  FUZZ_REQUIRE(mapped != MAP_FAILED, "mmap");
  return static_cast<std::uint8_t*>(mapped);
}

// Copy takes no notice of walls: all of the arena at once, since block by block it would take
// longer than the input. By words, which no compiler may make a call of memcpy of: that one is
// watched.
#if defined(__clang__)
__attribute__((no_sanitize("address", "undefined", "coverage"), no_profile_instrument_function))
#else
__attribute__((no_sanitize("address", "undefined")))
#endif
void Copy(std::uint8_t* to, const std::uint8_t* from, std::size_t size) {
  auto* out = reinterpret_cast<volatile std::uint64_t*>(to);
  const auto* in = reinterpret_cast<const volatile std::uint64_t*>(from);
  for (std::size_t left = size / kLine; left > 0; --left) {
    out[0] = in[0];
    out[1] = in[1];
    out[2] = in[2];
    out[3] = in[3];
    out[4] = in[4];
    out[5] = in[5];
    out[6] = in[6];
    out[7] = in[7];
    out += 8;
    in += 8;
  }
}

bool IsOurs(const void* at) {
  const auto* byte = static_cast<const std::uint8_t*>(at);
  return begin != nullptr && byte >= begin && byte < begin + kSize;
}

std::size_t SizeAt(const void* at) {
  std::size_t size = 0;
  const std::uint8_t* head = static_cast<const std::uint8_t*>(at) - kAround;
  ASAN_UNPOISON_MEMORY_REGION(head, kAround);
  std::memcpy(&size, head, sizeof size);
  ASAN_POISON_MEMORY_REGION(head, kAround);
  return size;
}

void* Take(std::size_t size) {
  if (begin == nullptr) {
    begin = next = Map(kSize);
#if MOORING_ADDRESS_SANITIZER
    __lsan_register_root_region(begin, kSize);
#endif
  }
  const std::size_t room = (size + kStep - 1) / kStep * kStep;
  FUZZ_REQUIRE(room + 2 * kAround <= static_cast<std::size_t>(begin + kSize - next),
               "the arena is full");
  std::uint8_t* at = next + kAround;
  next = at + room;
  ASAN_UNPOISON_MEMORY_REGION(at - kAround, kAround);
  std::memcpy(at - kAround, &size, sizeof size);
  ASAN_POISON_MEMORY_REGION(at - kAround, kAround + room);
  ASAN_UNPOISON_MEMORY_REGION(at, size);
  if (kept_end == nullptr) {
    const Off off;
    Live()[at] = size;
  }
  return at;
}

void Give(void* at) {
  const std::size_t size = SizeAt(at);
  ASAN_POISON_MEMORY_REGION(at, size);
  auto* byte = static_cast<std::uint8_t*>(at);
  if (byte < kept_end) {
    Given().push_back({byte, size});
  } else if (kept_end == nullptr) {
    const Off off;
    Live().erase(byte);
  }
}

void* TakeNew(std::size_t size) {
  if (new_is_ours) return Take(size);
  void* at = std::malloc(std::max<std::size_t>(size, 1));
  if (at == nullptr) throw std::bad_alloc();
  return at;
}

void GiveNew(void* at) noexcept {
  if (IsOurs(at))
    Give(at);
  else
    std::free(at);
}

}  // namespace

Arena::Making::Making() { new_is_ours = ssl_is_ours = true; }
Arena::Making::~Making() { new_is_ours = ssl_is_ours = false; }
Arena::Running::Running() { ssl_is_ours = true; }
Arena::Running::~Running() { ssl_is_ours = false; }

void Arena::Keep() {
  const Off off;
  FUZZ_REQUIRE(begin != nullptr && kept_end == nullptr, "it is kept once, when something is made");
  const auto up = [](std::size_t at) { return (at + kLine - 1) / kLine * kLine; };
  for (const auto& [at, size] : Live()) {
    const auto from = static_cast<std::size_t>(at - begin) / kLine * kLine;
    const std::size_t to = up(static_cast<std::size_t>(at - begin) + size);
    auto& ranges = Ranges();
    // What lies close together is copied at once, with what is between.
    if (!ranges.empty() && begin + from <= ranges.back().at + ranges.back().size + kClose) {
      ranges.back().size = to - static_cast<std::size_t>(ranges.back().at - begin);
    } else {
      ranges.push_back({begin + from, to - from, nullptr});
    }
  }
  for (Range& range : Ranges()) {
    std::uint8_t* copy = Map(range.size);
    Copy(copy, range.at, range.size);
    range.was = copy;
  }
  next = begin + up(static_cast<std::size_t>(next - begin));
  kept_end = next;
}

void Arena::Restore() {
  for (const Block& block : Given()) ASAN_UNPOISON_MEMORY_REGION(block.at, block.size);
  Given().clear();
  for (const Range& range : Ranges()) Copy(range.at, range.was, range.size);
  ASAN_POISON_MEMORY_REGION(kept_end, static_cast<std::size_t>(next - kept_end));
  next = kept_end;
}

}  // namespace mooring::fuzz

using mooring::fuzz::GiveNew;
using mooring::fuzz::TakeNew;

void* operator new(std::size_t size) { return TakeNew(size); }
void* operator new[](std::size_t size) { return TakeNew(size); }
// Whoever does without is given what fails by itself: what is left out here the library takes for
// its own, and a sanitizer for a mistake.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return TakeNew(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return TakeNew(size); }
void operator delete(void* at, const std::nothrow_t&) noexcept { GiveNew(at); }
void operator delete[](void* at, const std::nothrow_t&) noexcept { GiveNew(at); }
void operator delete(void* at) noexcept { GiveNew(at); }
void operator delete(void* at, std::size_t) noexcept { GiveNew(at); }
void operator delete[](void* at) noexcept { GiveNew(at); }
void operator delete[](void* at, std::size_t) noexcept { GiveNew(at); }

// BoringSSL asks for these where a program has them. Its buffers have their size before them, for
// who asks.
extern "C" {
void* OPENSSL_memory_alloc(std::size_t size);
void OPENSSL_memory_free(void* at);
std::size_t OPENSSL_memory_get_size(void* at);

void* OPENSSL_memory_alloc(std::size_t size) {
  if (mooring::fuzz::ssl_is_ours) return mooring::fuzz::Take(size);
  auto* head = static_cast<std::uint8_t*>(std::malloc(size + mooring::fuzz::kAround));
  if (head == nullptr) return nullptr;
  std::memcpy(head, &size, sizeof size);
  return head + mooring::fuzz::kAround;
}
void OPENSSL_memory_free(void* at) {
  if (at == nullptr) return;
  if (mooring::fuzz::IsOurs(at)) return mooring::fuzz::Give(at);
  std::free(static_cast<std::uint8_t*>(at) - mooring::fuzz::kAround);
}
std::size_t OPENSSL_memory_get_size(void* at) {
  if (at == nullptr) return 0;
  if (mooring::fuzz::IsOurs(at)) return mooring::fuzz::SizeAt(at);
  std::size_t size = 0;
  std::memcpy(&size, static_cast<std::uint8_t*>(at) - mooring::fuzz::kAround, sizeof size);
  return size;
}
}
