// Private to tls/: what a TrustBundle is made of.
#pragma once

#include <string>
#include <vector>

#include "tls/boringssl.h"
#include "tls/identity.h"
#include "tls/verdicts.h"

namespace mooring::tls {

struct TrustBundle::Impl {
  std::string trust_domain;
  std::vector<bssl::UniquePtr<X509>> roots;
  // empty: X509_STORE_CTX insists on one, trust comes from `roots`
  bssl::UniquePtr<X509_STORE> no_store;
  mutable Verdicts verdicts;
};

}  // namespace mooring::tls
