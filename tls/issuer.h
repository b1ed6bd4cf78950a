// Issuer: a small certificate authority in memory, for `mooring dev` and for tests. Not for
// production: its key lives in this process alone and is never saved.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "authz/result.h"
#include "authz/spiffe.h"
#include "tls/identity.h"

namespace mooring::tls {

struct IssuedLeaf {
  std::string certificate_pem;
  std::string private_key_pem;
  std::string serial;  // as Credentials::serial
  WallTime not_before;
  WallTime not_after;
};

// LeafName says where a leaf carries its name besides the URI SAN: in the subject, as Consul 1.8
// has it, or nowhere, as 1.21 has it; then the SAN must be critical (RFC 5280 4.2.1.6).
enum class LeafName { kSanOnly, kCommonName };

class Issuer final {
 public:
  // Make creates a P-256 root for the trust domain, valid ten years, with the URI SAN
  // spiffe://<trust domain>. Error: not a trust domain.
  static Result<std::unique_ptr<Issuer>> Make(std::string_view trust_domain);
  ~Issuer();
  Issuer(const Issuer&) = delete;
  Issuer& operator=(const Issuer&) = delete;

  const std::string& root_pem() const;
  const std::string& root_id()
      const;  // key identifier, hex with colons: the root's ID in the agent's API
  const std::string& trust_domain() const;

  // Issue makes a fresh P-256 key and a leaf as Consul makes them: one URI SAN, key usage
  // digitalSignature and keyEncipherment and keyAgreement, server and client authentication,
  // backdated by a minute, never outliving the root. Errors: an ID that is not canonical or of
  // another trust domain, a lifetime that is not positive.
  Result<IssuedLeaf> Issue(const authz::ServiceId& id, std::chrono::seconds lifetime,
                           LeafName name = LeafName::kCommonName) const;

  struct Impl;

 private:
  explicit Issuer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mooring::tls
