#include "bench/aead.h"

#include <openssl/aead.h>

#include <array>
#include <cstdint>
#include <ctime>
#include <stdexcept>
#include <vector>

#include "bench/event_loop.h"

namespace mooring::bench {
namespace {

constexpr std::size_t kRecord = 16384;
constexpr std::size_t kTag = 16;

double CpuNow() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace

JsonLine MeasureAead(double seconds) {
  const std::array<std::uint8_t, 16> key{1};
  const std::array<std::uint8_t, 5> header{23, 3, 3, 64, 17};  // of a TLS record (RFC 8446 5.2)
  std::array<std::uint8_t, 12> nonce{};
  const bssl::UniquePtr<EVP_AEAD_CTX> cipher(
      EVP_AEAD_CTX_new(EVP_aead_aes_128_gcm(), key.data(), key.size(), kTag));
  if (!cipher) throw std::runtime_error("no AES-128-GCM");
  const std::vector<std::uint8_t> plain(kRecord, 1);
  std::vector<std::uint8_t> sealed(kRecord + kTag), opened(kRecord + kTag);
  double bytes = 0;
  const double begin = CpuNow();
  const Time end = Clock::now() + Duration(seconds);
  while (Clock::now() < end) {
    for (int i = 0; i < 64; ++i) {
      ++nonce[0];
      std::size_t length = 0;
      if (EVP_AEAD_CTX_seal(cipher.get(), sealed.data(), &length, sealed.size(), nonce.data(),
                            nonce.size(), plain.data(), plain.size(), header.data(),
                            header.size()) != 1 ||
          EVP_AEAD_CTX_open(cipher.get(), opened.data(), &length, opened.size(), nonce.data(),
                            nonce.size(), sealed.data(), length, header.data(),
                            header.size()) != 1 ||
          length != kRecord) {
        throw std::runtime_error("a record did not come through");
      }
      bytes += kRecord;
    }
  }
  JsonLine line;
  line.Add("mode", "aead")
      .Add("what", "AES-128-GCM, sealing and opening 16 KiB records")
      .Add("gb", bytes / 1e9)
      .Add("cpu_per_gb", (CpuNow() - begin) / (bytes / 1e9));
  return line;
}

}  // namespace mooring::bench
