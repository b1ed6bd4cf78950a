// Mints certificates of every shape for tests, the wrong ones above all: what a correct issuer
// would never sign. Its CHECKs abort, so a test never goes on with half a certificate.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tls/boringssl.h"
#include "tls/identity.h"

namespace mooring::mint {

enum class KeyKind { kP224, kP256, kP384, kP521, kEd25519, kRsa1024, kRsa2048, kRsa4096 };

// Recipe says what a certificate holds; the defaults are those of a good Consul leaf without its
// SAN.
struct Recipe {
  std::string common_name = "leaf";  // empty: an empty subject
  std::vector<std::pair<int, std::string>>
      sans;  // GEN_URI, GEN_DNS, GEN_IPADD (raw bytes) and value
  KeyKind key = KeyKind::kP256;
  std::optional<bool> ca = false;  // nothing: no BasicConstraints
  int path_length = -1;
  std::vector<int> key_usage = {0, 2, 3,
                                4};  // bit numbers of RFC 5280 4.2.1.3; empty: no extension
  std::vector<int> extended;         // NIDs; empty: no extension
  bool key_ids = true;               // subject and authority key identifiers
  std::string permitted_uri;         // a URI name constraint
  bool unknown_critical = false;
  bool unknown_twice = false;     // an extension that nobody knows, not critical, two times
  bool ends_with_offset = false;  // the end in UTC as "+0000", not as "Z"
  bool sha1 = false;
  std::chrono::seconds from = std::chrono::hours(-1);  // relative to now
  std::chrono::seconds until = std::chrono::hours(1);
};

// Leaf is a good leaf for `uri`; Ca a good CA certificate.
Recipe Leaf(const std::string& uri);
Recipe Ca(const std::string& common_name);

struct Minted {
  bssl::UniquePtr<X509> certificate;
  bssl::UniquePtr<EVP_PKEY> key;
  std::vector<std::uint8_t> der;
  std::string pem;
  std::string key_pem;  // PKCS#8
};

// Mint signs by `issuer`, or by itself if null; `key`, if given, is certified instead of a fresh
// one.
Minted Mint(const Recipe& recipe, const Minted* issuer = nullptr, EVP_PKEY* key = nullptr);

// Roots is a bundle of these roots.
std::shared_ptr<const tls::TrustBundle> Roots(const std::string& trust_domain,
                                              const std::vector<const Minted*>& roots);

// Own is the credentials of a leaf with its intermediates.
std::shared_ptr<const tls::Credentials> Own(const Minted& leaf,
                                            const std::vector<const Minted*>& rest = {});

// Judge lets the bundle judge a chain, leaf first.
tls::Judgement Judge(const tls::TrustBundle& roots, const std::vector<const Minted*>& chain,
                     tls::Purpose purpose, tls::WallTime now = std::chrono::system_clock::now());

}  // namespace mooring::mint
