// TrafficKey: protects the records of one direction of a TLS 1.3 connection (RFC 8446 5.2, 5.3
// and 7.3).
//
// It counts records twice. kWire numbers those that cross the network. kSsl numbers those that pass
// between us and the connection's BoringSSL, which holds the same key and sees but a few of them
// (see record_layer.h). Nothing that is sealed under a kSsl number is ever sent, so no number
// protects two different records on the network. Private to tls/. One thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "tls/boringssl.h"

namespace mooring::tls {

class TrafficKey final {
 public:
  // a content type (RFC 8446 B.1), and every protected record's outer one
  static constexpr std::uint8_t kApplicationData = 23;
  static constexpr std::size_t kHeader = 5;
  static constexpr std::size_t kTag = 16;  // of every cipher suite of TLS 1.3
  static constexpr std::size_t kMostPlain = 16384;
  static constexpr std::size_t kMostBody = kMostPlain + 256;    // RFC 8446 5.2
  static constexpr std::size_t kOverhead = kHeader + 1 + kTag;  // of a record without padding

  enum class Number { kWire, kSsl };

  // Make derives key and IV from a traffic secret; both numbers begin at `number`. Empty for a
  // cipher suite that is not TLS 1.3's.
  static std::optional<TrafficKey> Make(const SSL_CIPHER* cipher,
                                        std::span<const std::uint8_t> secret, std::uint64_t number);

  // Open decrypts one whole record of at least kHeader + kTag bytes to `inner`: content, its type,
  // padding. `inner` gets record.size() - kHeader - kTag bytes and does not overlap the record.
  // False: it is not what the holder of the key sealed under this number.
  bool Open(Number which, std::span<const std::uint8_t> record, std::uint8_t* inner);

  // Seal encrypts `inner` followed by `end`, the last of both being the content type, into
  // `record`, which is kHeader + kTag longer. False only when BoringSSL fails.
  bool Seal(Number which, std::span<const std::uint8_t> inner, std::span<const std::uint8_t> end,
            std::span<std::uint8_t> record);

  std::uint64_t number(Number which) const { return which == Number::kWire ? wire_ : ssl_; }

 private:
  using Nonce = std::array<std::uint8_t, 12>;
  TrafficKey() = default;
  Nonce NextNonce(Number which);

  bssl::UniquePtr<EVP_AEAD_CTX> aead_;
  Nonce iv_{};
  std::uint64_t wire_ = 0;
  std::uint64_t ssl_ = 0;
};

}  // namespace mooring::tls
