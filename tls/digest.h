// Sha256Hex: the SHA-256 of bytes as 64 lower-case hex digits. Any thread; keeps nothing.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace mooring::tls {

// Sha256Hex over several parts is the digest of their concatenation, without making it.
std::string Sha256Hex(std::span<const std::string_view> parts);
std::string Sha256Hex(std::string_view bytes);

}  // namespace mooring::tls
