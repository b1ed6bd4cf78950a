#include "tls/cleanse.h"

#include "tls/boringssl.h"

namespace mooring::tls {

void Cleanse(std::string* secret) {
  // Up to the capacity: a longer value may have stood there before.
  secret->resize(secret->capacity());
  OPENSSL_cleanse(secret->data(), secret->size());
  secret->clear();
}

void Cleanse(std::span<std::uint8_t> memory) { OPENSSL_cleanse(memory.data(), memory.size()); }

}  // namespace mooring::tls
