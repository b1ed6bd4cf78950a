// What we prove and what we believe: our leaf with its key, and the roots that a peer must lead to.
//
// Both are immutable once made and shared by const pointer, from any thread. They know certificates
// and SPIFFE IDs, not connections. Keys are held inside BoringSSL objects only; PEM input stays the
// caller's to cleanse.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "authz/result.h"
#include "authz/spiffe.h"
#include "tls/alert.h"

namespace mooring::tls {

using WallTime = std::chrono::system_clock::time_point;

// Credentials: a leaf certificate, its intermediates and the matching private key.
class Credentials final {
 public:
  // Make parses PEM text. Errors: no certificate, trailing garbage in a block, no key, a key that
  // does not match the leaf (the message says so), a leaf that is not a canonical SPIFFE service
  // identity or breaks a leaf rule that every peer would refuse. Key forms: SEC1, PKCS#1, PKCS#8,
  // unencrypted. What no path from the leaf can pass is dropped, and so is what comes twice (Consul
  // sends one twice from a secondary datacenter); then kMaxChain are taken. Expiry is not judged
  // here.
  static Result<std::shared_ptr<const Credentials>> Make(std::string_view certificate_pem,
                                                         std::string_view private_key_pem);
  ~Credentials();
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;

  const authz::ServiceId& id() const;
  const std::string& serial() const;  // lower-case hex, colon-separated as Consul prints it
  WallTime not_before() const;
  WallTime not_after() const;
  // the second of not_after() is still its own (RFC 5280 4.1.2.5)
  bool ExpiredAt(WallTime now) const;
  std::size_t chain_length() const;  // leaf included

  struct Impl;
  const Impl& impl() const { return *impl_; }

 private:
  explicit Credentials(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Purpose is the role in which the peer showed its certificate; extended key usage is judged by it.
enum class Purpose { kPeerIsClient, kPeerIsServer };

// Refusal is why a peer's certificate was not believed; a closed list, at once log field, counter
// label and test assertion (RefusalName).
enum class Refusal {
  kNone,
  kNoCertificate,       // no_client_certificate
  kMalformed,           // certificate_malformed: does not parse
  kChainTooLong,        // chain_too_long: more than kMaxChain certificates
  kUnknownCa,           // unknown_ca: no path to a trusted root, or a broken one
  kExpired,             // cert_expired
  kNotYetValid,         // cert_not_yet_valid
  kLeafRules,           // leaf_rules: CA leaf, key usage, key too small, not one URI SAN
  kNotSpiffe,           // not_a_service_id: the URI is not a canonical SPIFFE service ID
  kForeignTrustDomain,  // foreign_trust_domain
  kWrongIdentity,       // san_mismatch: a good identity, not the one intended
};
const char* RefusalName(Refusal refusal);
// AlertFor is the alert that tells the peer about a refusal.
Alert AlertFor(Refusal refusal);

// different certificates a peer may send, leaf included
inline constexpr std::size_t kMaxChain = 10;

struct Judgement {
  Refusal refusal = Refusal::kNone;
  std::string detail;   // for the log; printable, bounded, empty when accepted
  authz::ServiceId id;  // valid when accepted, and for kWrongIdentity and kForeignTrustDomain
};

// TrustBundle: the roots of one trust domain.
class TrustBundle final {
 public:
  // Make parses every certificate of every PEM text. Errors: an empty list, text without a
  // certificate, a trust domain that is not one. Roots that are not CAs are refused by name. A root
  // need not be self-signed (a company's intermediate may head the mesh) nor carry a SPIFFE ID:
  // being listed is what makes it an anchor. A repeated root counts once.
  static Result<std::shared_ptr<const TrustBundle>> Make(std::string_view trust_domain,
                                                         std::span<const std::string> root_pems);
  ~TrustBundle();
  TrustBundle(const TrustBundle&) = delete;
  TrustBundle& operator=(const TrustBundle&) = delete;

  // Judge applies RFC 5280 path validation and the X509-SVID leaf rules (V1-V7 of the SPIFFE
  // X509-SVID specification, and: key usage present with digitalSignature; in the whole path RSA of
  // at least 2048 bits or curves from P-256 up, no SHA-1; extended key usage, where present,
  // covering the purpose; the root's own path length and name constraints kept) to a chain as sent
  // by the peer, DER, leaf first. The other certificates are hints in any order, never trust. The
  // path is judged before the leaf's content, so a stranger's certificate is kUnknownCa whatever it
  // says. Bounded work for any input. A chain found good is remembered, with the span in which it
  // is, so that to judge it again costs a hash.
  Judgement Judge(std::span<const std::span<const std::uint8_t>> chain, Purpose purpose,
                  WallTime now) const;

  // Includes: of the same trust domain, and every root of `other` is one of ours. What `other`
  // believed we believe too.
  bool Includes(const TrustBundle& other) const;

  const std::string& trust_domain() const;
  std::size_t size() const;  // number of root certificates

  struct Impl;
  const Impl& impl() const { return *impl_; }

 private:
  explicit TrustBundle(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// JudgeOwn says whether peers that trust `roots` would believe our leaf with its intermediates, in
// both roles.
Judgement JudgeOwn(const Credentials& leaf, const TrustBundle& roots, WallTime now);

}  // namespace mooring::tls
