// What the shares of X25519MLKEM768 cost, the group that Mooring prefers. A handshake takes on the
// dialling side a key pair of each, an X25519 agreement and an ML-KEM decapsulation, on the
// accepting side a key pair of X25519 only, an agreement and an encapsulation.
#include <openssl/base.h>
#include <openssl/curve25519.h>
#if BORINGSSL_API_VERSION >= 20
#include <openssl/mlkem.h>
#endif

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "bench/micro.h"

namespace mooring::bench {
namespace {

struct X25519Share {
  X25519Share() { Make(); }
  void Make() { X25519_keypair(open.data(), secret.data()); }

  std::array<std::uint8_t, X25519_PUBLIC_VALUE_LEN> open{};
  std::array<std::uint8_t, X25519_PRIVATE_KEY_LEN> secret{};
};

void AddX25519(std::vector<Benchmark>& all) {
  const auto own = std::make_shared<X25519Share>();
  const auto peer = std::make_shared<const X25519Share>();
  all.push_back(Simple("key-exchange/X25519/key-pair", 0, [own](std::size_t) { own->Make(); }));
  all.push_back(Simple("key-exchange/X25519/agreement", 0, [own, peer](std::size_t) {
    std::array<std::uint8_t, X25519_SHARED_KEY_LEN> shared{};
    Require(X25519(shared.data(), own->secret.data(), peer->open.data()) == 1,
            "an agreement failed");
  }));
}

#if BORINGSSL_API_VERSION >= 20
struct MlKemShare {
  MlKemShare() {
    Make();
    MLKEM768_public_from_private(&key, &secret);
    Encapsulate();
  }
  void Make() { MLKEM768_generate_key(encoded.data(), nullptr, &secret); }
  void Encapsulate() { MLKEM768_encap(sealed.data(), shared.data(), &key); }

  std::array<std::uint8_t, MLKEM768_PUBLIC_KEY_BYTES> encoded{};
  std::array<std::uint8_t, MLKEM768_CIPHERTEXT_BYTES> sealed{};
  std::array<std::uint8_t, MLKEM_SHARED_SECRET_BYTES> shared{};
  MLKEM768_private_key secret{};
  MLKEM768_public_key key{};
};

void AddMlKem(std::vector<Benchmark>& all) {
  const auto share = std::make_shared<MlKemShare>();
  const auto made = std::make_shared<MlKemShare>();
  all.push_back(
      Simple("key-exchange/ML-KEM-768/key-pair", 0, [made](std::size_t) { made->Make(); }));
  all.push_back(Simple("key-exchange/ML-KEM-768/encapsulation", 0,
                       [share](std::size_t) { share->Encapsulate(); }));
  all.push_back(Simple("key-exchange/ML-KEM-768/decapsulation", 0, [share](std::size_t) {
    std::array<std::uint8_t, MLKEM_SHARED_SECRET_BYTES> shared{};
    Require(MLKEM768_decap(shared.data(), share->sealed.data(), share->sealed.size(),
                           &share->secret) == 1,
            "a decapsulation failed");
  }));
}
#endif

}  // namespace

std::vector<Benchmark> KeyExchangeBenchmarks() {
  std::vector<Benchmark> all;
  AddX25519(all);
#if BORINGSSL_API_VERSION >= 20
  AddMlKem(all);
#endif
  return all;
}

}  // namespace mooring::bench
