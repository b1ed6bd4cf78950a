#include "tls/traffic_key.h"

#include <openssl/aead.h>
#include <openssl/digest.h>
#include <openssl/hkdf.h>

#include <algorithm>
#include <string_view>

namespace mooring::tls {
namespace {

struct Suite {
  const EVP_AEAD* aead;
  const EVP_MD* digest;
};

// RFC 8446 B.4; nulls for another cipher suite.
Suite SuiteOf(const SSL_CIPHER* cipher) {
  switch (cipher == nullptr ? 0 : SSL_CIPHER_get_protocol_id(cipher)) {
    case 0x1301: return {EVP_aead_aes_128_gcm(), EVP_sha256()};
    case 0x1302: return {EVP_aead_aes_256_gcm(), EVP_sha384()};
    case 0x1303: return {EVP_aead_chacha20_poly1305(), EVP_sha256()};
    default: return {};
  }
}

// HKDF-Expand-Label with an empty context (RFC 8446 7.1).
bool ExpandLabel(const EVP_MD* digest, std::span<const std::uint8_t> secret, std::string_view label,
                 std::span<std::uint8_t> out) {
  // Length of the output, label with its length, length of the context.
  std::array<std::uint8_t, 32> info{static_cast<std::uint8_t>(out.size() >> 8U),
                                    static_cast<std::uint8_t>(out.size()),
                                    static_cast<std::uint8_t>(label.size())};
  std::copy(label.begin(), label.end(), info.begin() + 3);
  return HKDF_expand(out.data(), out.size(), digest, secret.data(), secret.size(), info.data(),
                     label.size() + 4) == 1;
}

}  // namespace

std::optional<TrafficKey> TrafficKey::Make(const SSL_CIPHER* cipher,
                                           std::span<const std::uint8_t> secret,
                                           std::uint64_t number) {
  const auto [aead, digest] = SuiteOf(cipher);
  if (aead == nullptr || EVP_AEAD_nonce_length(aead) != Nonce().size()) return std::nullopt;
  std::array<std::uint8_t, EVP_AEAD_MAX_KEY_LENGTH> key{};
  const std::span<std::uint8_t> used(key.data(), EVP_AEAD_key_length(aead));
  TrafficKey made;
  if (ExpandLabel(digest, secret, "tls13 key", used) &&
      ExpandLabel(digest, secret, "tls13 iv", made.iv_)) {
    made.aead_.reset(EVP_AEAD_CTX_new(aead, used.data(), used.size(), kTag));
  }
  OPENSSL_cleanse(key.data(), key.size());
  if (!made.aead_) return std::nullopt;
  made.wire_ = made.ssl_ = number;
  return made;
}

TrafficKey::Nonce TrafficKey::NextNonce(Number which) {
  std::uint64_t number = which == Number::kWire ? wire_++ : ssl_++;
  Nonce nonce = iv_;
  for (std::size_t i = nonce.size(); number != 0; number >>= 8U)
    nonce[--i] ^= static_cast<std::uint8_t>(number);
  return nonce;
}

bool TrafficKey::Open(Number which, std::span<const std::uint8_t> record, std::uint8_t* inner) {
  const auto body = record.subspan(kHeader);
  const Nonce nonce = NextNonce(which);
  std::size_t length = 0;
  return EVP_AEAD_CTX_open(aead_.get(), inner, &length, body.size() - kTag, nonce.data(),
                           nonce.size(), body.data(), body.size(), record.data(), kHeader) == 1;
}

bool TrafficKey::Seal(Number which, std::span<const std::uint8_t> inner,
                      std::span<const std::uint8_t> end, std::span<std::uint8_t> record) {
  const std::size_t body = record.size() - kHeader;
  const std::array<std::uint8_t, kHeader> header{kApplicationData, 3, 3,
                                                 static_cast<std::uint8_t>(body >> 8U),
                                                 static_cast<std::uint8_t>(body)};
  std::copy(header.begin(), header.end(), record.begin());
  const Nonce nonce = NextNonce(which);
  std::uint8_t* tail = record.data() + kHeader + inner.size();
  std::size_t tail_length = 0;
  return EVP_AEAD_CTX_seal_scatter(aead_.get(), record.data() + kHeader, tail, &tail_length,
                                   end.size() + kTag, nonce.data(), nonce.size(), inner.data(),
                                   inner.size(), end.data(), end.size(), record.data(),
                                   kHeader) == 1;
}

}  // namespace mooring::tls
