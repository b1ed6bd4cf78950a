// Private to tls/ and the unit tests: BoringSSL's headers and what stands behind the public
// classes.
//
// No header that another room includes may include this one, so that BoringSSL stays replaceable
// and its names stay out of the rest. Ownership is BoringSSL's own: bssl::UniquePtr owns,
// bssl::UpRef shares.
#pragma once

#include <openssl/base.h>
// OpenSSL's headers bear the same names; compiled against them, code that looks right would not be.
#ifndef OPENSSL_IS_BORINGSSL
#error "Mooring needs BoringSSL: the headers found are OpenSSL's"
#endif
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

// Debian's copy of 2022, which the build takes only when asked for by name, has newer names' old
// forms.
#if BORINGSSL_API_VERSION < 20
#define SSL_CTX_set1_groups_list SSL_CTX_set1_curves_list
#define SSL_get_group_id SSL_get_curve_id
#define SSL_get_group_name SSL_get_curve_name
#define X509_STORE_CTX_set0_trusted_stack X509_STORE_CTX_trusted_stack
#endif

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tls/context.h"
#include "tls/identity.h"
#include "tls/verdicts.h"

namespace mooring::tls {

class PeerMemory;
class TicketKeys;

struct Credentials::Impl {
  std::vector<bssl::UniquePtr<CRYPTO_BUFFER>> chain;  // DER, leaf first
  bssl::UniquePtr<EVP_PKEY> key;
  authz::ServiceId id;
  std::string serial;
  WallTime not_before;
  WallTime not_after;
};

struct TrustBundle::Impl {
  std::string trust_domain;
  std::vector<bssl::UniquePtr<X509>> roots;
  bssl::UniquePtr<X509_STORE>
      no_store;  // empty: X509_STORE_CTX insists on one, trust comes from `roots`
  mutable Verdicts verdicts;
};

struct Context::Impl {
  enum class Kind { kMeshServer, kMeshClient, kHttps };

  Kind kind = Kind::kMeshServer;
  std::shared_ptr<const TrustBundle> roots;  // mesh
  bssl::UniquePtr<X509_STORE> https_roots;   // https; null when `verify` is false
  bool verify = true;
  std::unique_ptr<PeerMemory> memory;        // mesh, dialling side
  std::unique_ptr<TicketKeys> ticket_keys;   // mesh, accepting side
  // Records that a session seals under one key; with AES-GCM no more than 2^24.5 full ones (RFC 8446 5.5).
  std::uint64_t most_records_per_key = std::uint64_t{1} << 24U;
  bssl::UniquePtr<SSL_CTX> ssl_ctx;

  Impl();
  ~Impl();
};

// KeepTicket is BoringSSL's callback for a ticket that a Session of a dialling context has received; TicketMethod seals and opens
// those that an accepting one gives. BoundSession bounds the life of the session that a full handshake makes.
int KeepTicket(SSL* ssl, SSL_SESSION* ticket);
const SSL_TICKET_AEAD_METHOD* TicketMethod();
void BoundSession(SSL* ssl);

// kFirstGroup is the key exchange group that we prefer.
#if BORINGSSL_API_VERSION < 20  // Debian's copy of 2022 knows no post-quantum group in use today
inline constexpr std::uint16_t kFirstGroup = SSL_CURVE_X25519;
#else
inline constexpr std::uint16_t kFirstGroup = SSL_GROUP_X25519_MLKEM768;
#endif

// TakeErrors empties this thread's BoringSSL error queue and says what stood in it, oldest first.
// Left there, an error would be blamed on the next call, of another connection perhaps.
std::string TakeErrors();

// ClearErrors empties it. If a lack of memory stood in it, that is std::bad_alloc, as it is for us: else what there was no memory
// to read would be judged as wrong, or as not there.
void ClearErrors();

// NameText is a distinguished name for people, printable and bounded.
std::string NameText(const X509_NAME* name);

// HexWithColons writes bytes as "0a:ff".
std::string HexWithColons(std::span<const std::uint8_t> bytes);

// SerialText is a certificate's serial number as Consul prints it: lower-case hex bytes with
// colons.
std::string SerialText(const X509* certificate);

// ReadTime converts a certificate's time; false if it is not a valid one (RFC 5280 4.1.2.5).
bool ReadTime(const ASN1_TIME* time, WallTime* out);

// ParseDer parses exactly one certificate that fills `der`; null otherwise.
bssl::UniquePtr<X509> ParseDer(std::span<const std::uint8_t> der);

// WeakKey says why a certificate's key is too weak or of a kind that we do not take; null if it is
// good: RSA of at least 2048 bits (RFC 9325 4.5), ECDSA on P-256, P-384 or P-521, Ed25519.
const char* WeakKey(X509* certificate);

}  // namespace mooring::tls
