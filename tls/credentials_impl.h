// Private to tls/: what Credentials are made of.
#pragma once

#include <string>
#include <vector>

#include "tls/boringssl.h"
#include "tls/identity.h"

namespace mooring::tls {

struct Credentials::Impl {
  std::vector<bssl::UniquePtr<CRYPTO_BUFFER>> chain;  // DER, leaf first
  bssl::UniquePtr<EVP_PKEY> key;
  authz::ServiceId id;
  std::string serial;
  WallTime not_before;
  WallTime not_after;
};

}  // namespace mooring::tls
