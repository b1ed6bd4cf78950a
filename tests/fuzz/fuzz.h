// What every target is written with: what it gets, how it reports a finding, and a way to read its
// bytes as decisions.
//
// A target is a function of its input and of nothing else: what it does twice with the same bytes
// is the same. It leaves nothing behind. One thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace mooring::fuzz {

using Input = std::span<const std::uint8_t>;

// Find reports a finding, with what is wrong and where, and ends the process.
[[noreturn]] void Find(const char* what, std::string_view more, const char* file, int line);

// REQUIRE is what holds for every input. Unlike an assertion it is there in every build.
#define FUZZ_REQUIRE(holds, more)                                            \
  do {                                                                       \
    if (!(holds)) ::mooring::fuzz::Find(#holds, (more), __FILE__, __LINE__); \
  } while (false)

inline std::string_view TextOf(Input input) {
  return {reinterpret_cast<const char*>(input.data()), input.size()};
}

inline Input BytesOf(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// Script reads an input as decisions, from its front. Where it is at its end, every decision is the
// first one: a short input is a whole script.
class Script final {
 public:
  explicit Script(Input input) : rest_(input) {}

  bool AtEnd() const { return rest_.empty(); }
  std::uint8_t Byte() {
    if (rest_.empty()) return 0;
    const std::uint8_t byte = rest_.front();
    rest_ = rest_.subspan(1);
    return byte;
  }
  bool Flag() { return (Byte() & 1U) != 0; }
  std::size_t Number16() {
    const std::size_t high = Byte();
    return high << 8U | Byte();
  }
  // Below is a number from 0 to `end` - 1; `end` is 256 at most.
  std::size_t Below(std::size_t end) { return Byte() % end; }
  template <typename T, std::size_t Size>
  const T& OneOf(const std::array<T, Size>& choices) {
    return choices[Below(Size)];
  }
  // Bytes are the next `count`, or as many as there are.
  Input Bytes(std::size_t count) {
    const Input taken = rest_.first(std::min(count, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  // Piece has its length before it, in one byte.
  Input Piece() { return Bytes(Byte()); }
  std::string Text() { return std::string(TextOf(Piece())); }
  Input Rest() { return Bytes(rest_.size()); }

 private:
  Input rest_;
};

}  // namespace mooring::fuzz
