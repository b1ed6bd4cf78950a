// Hexadecimal digits. Pure, and without a source file, so that every room may have it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mooring::authz {

inline constexpr std::string_view kLowerHex = "0123456789abcdef";
inline constexpr std::string_view kUpperHex = "0123456789ABCDEF";

// AppendHex appends the two digits of a byte.
inline void AppendHex(std::string* out, std::uint8_t byte, std::string_view digits = kLowerHex) {
  *out += digits[byte >> 4U];
  *out += digits[byte & 0xFU];
}

// HexValue is that of a digit in either case, -1 if `c` is none.
constexpr int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace mooring::authz
