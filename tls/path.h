// Path building and validation (RFC 5280 section 6) from a leaf to one of several roots.
//
// BoringSSL judges one path at a time and follows the first issuer that fits by name. Here the
// paths that fit by name are listed and BoringSSL judges each until one is good, so that roots of
// one name with different keys and cross-signed intermediates work, as root rotation needs. Knows
// no SPIFFE.
#pragma once

#include <span>
#include <vector>

#include "tls/boringssl.h"
#include "tls/verdicts.h"

namespace mooring::tls {

// Path is the outcome of FindPath.
struct Path {
  Refusal refusal = Refusal::kUnknownCa;  // kNone: there is a good path
  std::string detail;
  TimeSpan valid;  // of a good path: when all of its certificates are, its root's included
};

// FindPath looks for a good path from sent[0] over any of the other `sent` to one of `roots`, at
// `now`. Every root is an anchor, self-signed or not, since the operator's list says so; nothing
// that the peer sent ever is. `no_store` is an empty store, which BoringSSL insists on. The work is
// bounded whatever the peer sends: see path.cc.
Path FindPath(std::span<const bssl::UniquePtr<X509>> sent,
              std::span<const bssl::UniquePtr<X509>> roots, X509_STORE* no_store, Purpose purpose,
              WallTime now);

}  // namespace mooring::tls
