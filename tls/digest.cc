#include "tls/digest.h"

#include <openssl/sha.h>

#include <array>
#include <cstdint>

#include "authz/hex.h"
#include "tls/boringssl.h"

namespace mooring::tls {

std::string Sha256Hex(std::span<const std::string_view> parts) {
  SHA256_CTX context;
  SHA256_Init(&context);
  for (const std::string_view part : parts) SHA256_Update(&context, part.data(), part.size());
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
  SHA256_Final(digest.data(), &context);
  OPENSSL_cleanse(&context, sizeof context);  // its buffer holds the last bytes of what was hashed

  std::string text;
  text.reserve(digest.size() * 2);
  for (const std::uint8_t byte : digest) authz::AppendHex(&text, byte);
  return text;
}

std::string Sha256Hex(std::string_view bytes) {
  return Sha256Hex(std::span<const std::string_view>(&bytes, 1));
}

}  // namespace mooring::tls
