#include "tls/boringssl.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/nid.h>

#include <algorithm>
#include <new>

#include "authz/hex.h"
#include "authz/text.h"

namespace mooring::tls {
namespace {

constexpr int kMinRsaBits = 2048;
constexpr std::size_t kNameLimit = 160;  // bytes of a foreign name in a message

}  // namespace

std::string TakeErrors() {
  std::string text;
  while (const std::uint32_t packed = ERR_get_error()) {
    if (!text.empty()) text += ", ";
    const char* reason = ERR_reason_error_string(packed);
    text += reason != nullptr ? reason : "error " + std::to_string(ERR_GET_REASON(packed));
  }
  return text.empty() ? "unknown reason" : text;
}

void ClearErrors() {
  bool starved = false;
  while (const std::uint32_t packed = ERR_get_error())
    starved = starved || ERR_GET_REASON(packed) == ERR_R_MALLOC_FAILURE;
  if (starved) throw std::bad_alloc();
}

std::string NameText(const X509_NAME* name) {
  // RFC 2253 without its escapes for control characters and UTF-8: messages are raw.
  constexpr unsigned long kNameForm =
      XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_CTRL | ASN1_STRFLGS_ESC_MSB);
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  const std::uint8_t* data = nullptr;
  std::size_t length = 0;
  if (!bio || X509_NAME_print_ex(bio.get(), name, 0, kNameForm) < 0 ||
      !BIO_mem_contents(bio.get(), &data, &length)) {
    ClearErrors();
    return "(unprintable name)";
  }
  if (length == 0) return "(empty name)";
  return authz::Shortened(std::string(data, data + length), kNameLimit);
}

std::string HexWithColons(std::span<const std::uint8_t> bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes) {
    if (!text.empty()) text += ':';
    authz::AppendHex(&text, byte);
  }
  return text;
}

std::string SerialText(const X509* certificate) {
  bssl::UniquePtr<BIGNUM> number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  if (!number) {
    ClearErrors();
    return {};
  }
  std::vector<std::uint8_t> bytes(std::max<std::size_t>(BN_num_bytes(number.get()), 1));
  return BN_bn2bin_padded(bytes.data(), bytes.size(), number.get()) == 1 ? HexWithColons(bytes)
                                                                         : "";
}

bool ReadTime(const ASN1_TIME* time, WallTime* out) {
  // BoringSSL reads a UTCTime with an offset, too.
  const int length = ASN1_STRING_length(time);
  if (length == 0 || ASN1_STRING_get0_data(time)[length - 1] != 'Z') return false;
  const bssl::UniquePtr<ASN1_TIME> epoch(ASN1_TIME_set(nullptr, 0));
  int days = 0;
  int rest = 0;
  const bool good = epoch && ASN1_TIME_diff(&days, &rest, epoch.get(), time) == 1;
  ClearErrors();
  if (!good) return false;
  // A year-9999 date, "no expiry" by RFC 5280 4.1.2.5, does not fit nanoseconds: the last that
  // does.
  using Seconds = std::chrono::seconds;
  const std::int64_t seconds = std::int64_t{days} * 86400 + rest;
  const auto last = std::chrono::duration_cast<Seconds>(WallTime::max().time_since_epoch());
  const auto first = std::chrono::duration_cast<Seconds>(WallTime::min().time_since_epoch());
  *out = WallTime(std::clamp(Seconds(seconds), first, last));
  return true;
}

WallTime EndOf(WallTime last) {
  constexpr std::chrono::seconds kIts{1};
  return last > WallTime::max() - kIts ? WallTime::max() : last + kIts;
}

bssl::UniquePtr<X509> ParseDer(std::span<const std::uint8_t> der) {
  const std::uint8_t* cursor = der.data();
  bssl::UniquePtr<X509> certificate(d2i_X509(nullptr, &cursor, static_cast<long>(der.size())));
  if (!certificate || cursor != der.data() + der.size()) {
    ClearErrors();
    return nullptr;
  }
  return certificate;
}

const char* WeakKey(X509* certificate) {
  bssl::UniquePtr<EVP_PKEY> key(X509_get_pubkey(certificate));
  if (!key) {
    ClearErrors();
    return "its key is of a kind that is not supported";
  }
  switch (EVP_PKEY_id(key.get())) {
    case EVP_PKEY_RSA:
      return EVP_PKEY_bits(key.get()) >= kMinRsaBits ? nullptr
                                                     : "its RSA key is smaller than 2048 bits";
    case EVP_PKEY_EC:
      // Of the named curves that BoringSSL parses only P-224 is smaller.
      return EVP_PKEY_bits(key.get()) >= 256 ? nullptr : "its elliptic curve is smaller than P-256";
    case EVP_PKEY_ED25519: return nullptr;
    default: return "its key is of a kind that is not supported";
  }
}

}  // namespace mooring::tls
