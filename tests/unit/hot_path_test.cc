// An established connection passes bytes without operator new: what a message costs does not depend on the heap, and
// wiping what is freed (proxy/cli/wiping_delete.cc) costs the data path nothing.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "tests/unit/counted_new.h"
#include "tests/unit/relay_fixture.h"

namespace {

using namespace mooring;
using test::Allocations;
using test::Path;
using Bytes = std::vector<std::uint8_t>;

const doctest::skip kSkip(!test::kCountsNew);  // a sanitizer has an allocator of its own
constexpr std::size_t kMessage = 256;
constexpr int kRoundTrips = 1'000;
constexpr std::size_t kBulk = std::size_t{16} << 20U;
// Under way at most: more than a large burst, less than any socket's buffer once the kernel has let it grow, so that
// the legs have nothing to keep.
constexpr std::size_t kWindow = std::size_t{2} << 20U;
constexpr int kIdleTurns = 10'000'000;  // without progress: a test that hangs fails instead

Bytes Pattern(std::size_t size) {
  Bytes bytes(size);
  std::uint32_t state = 1;
  for (auto& byte : bytes) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<std::uint8_t>(state >> 24U);
  }
  return bytes;
}

// Course drives one Path. Its buffers are made beforehand, so that all that is counted is the proxy's.
struct Course {
  // Carry passes `bytes` from one app to the other, turn by turn. False: other bytes came, or none.
  bool Carry(int from, int to, std::span<const std::uint8_t> bytes) {
    std::size_t sent = 0;
    std::size_t arrived = 0;
    for (int idle = 0; arrived < bytes.size() && idle < kIdleTurns; ++idle) {
      const std::size_t more = std::min(bytes.size() - sent, kWindow - (sent - arrived));
      const ssize_t out = more == 0 ? 0 : send(from, bytes.data() + sent, more, MSG_NOSIGNAL);
      if (out < 0 && errno != EAGAIN) return false;
      if (out > 0) sent += static_cast<std::size_t>(out);
      test::Turn(loop);
      kept = kept || path.Kept();
      bulk = bulk || path.outbound.app_leg.IsBulk();
      for (;;) {
        const ssize_t in = recv(to, room.data(), room.size(), 0);
        if (in < 0 && errno == EAGAIN) break;
        if (in <= 0) return false;
        const auto got = static_cast<std::size_t>(in);
        if (got > bytes.size() - arrived || std::memcmp(room.data(), bytes.data() + arrived, got) != 0) return false;
        arrived += got;
        idle = 0;
      }
    }
    return arrived == bytes.size();
  }
  bool Ask(std::span<const std::uint8_t> message) {
    return Carry(path.outbound.app.get(), path.app.get(), message) &&
           Carry(path.app.get(), path.outbound.app.get(), message);
  }

  net::Loop loop;
  tls::ends::Mesh mesh;
  Path path{loop, mesh};
  Bytes room = Bytes(kWindow);
  bool kept = false;
  bool bulk = false;
};

// Report tells of the one allocator left on the way: BoringSSL's, for the buffer of the record at hand.
void Report(const std::string& what, const Allocations& total, double count) {
  MESSAGE("BoringSSL, per ", what, " (encrypted once, decrypted once): OPENSSL_malloc ",
          static_cast<double>(total.by_boringssl) / count, ", malloc ", static_cast<double>(total.by_malloc) / count);
}

}  // namespace

TEST_CASE("counting sees each kind of allocation" * kSkip) {
  const tls::ends::Mesh mesh;
  Allocations total;
  {
    const test::CountedNew counted;
    const auto session = tls::Session::Accept(mesh.server);
    total = counted.so_far();
  }
  CHECK(total.by_new > 0);
  CHECK(total.by_boringssl > 0);
  CHECK(total.by_malloc >= total.by_new + total.by_boringssl);
}

TEST_CASE("small messages on an established connection call operator new zero times" * kSkip) {
  Course course;
  const Bytes message = Pattern(kMessage);
  // Enough for each session's record layer to have taken over (tls/record_layer.h), which allocates once for its key.
  for (int i = 0; i < 8; ++i) REQUIRE(course.Ask(message));

  bool good = true;
  Allocations total;
  {
    const test::CountedNew counted;
    for (int i = 0; i < kRoundTrips && good; ++i) good = course.Ask(message);
    total = counted.so_far();
  }
  REQUIRE(good);
  CHECK_FALSE(course.kept);
  CHECK(total.by_new == 0);
  Report("message", total, 2.0 * kRoundTrips);
}

TEST_CASE("a bulk stream calls operator new zero times" * kSkip) {
  Course course;
  const Bytes bytes = Pattern(kBulk);
  const int from = course.path.outbound.app.get();
  const int to = course.path.app.get();
  REQUIRE(course.Carry(from, to, bytes));
  REQUIRE(course.Carry(from, to, bytes));  // the kernel's buffers have grown by now

  course.kept = course.bulk = false;
  bool good = false;
  Allocations total;
  {
    const test::CountedNew counted;
    good = course.Carry(from, to, bytes);
    total = counted.so_far();
  }
  REQUIRE(good);
  CHECK(course.bulk);
  CHECK_FALSE(course.kept);
  CHECK(total.by_new == 0);
  Report("16 KiB record", total, static_cast<double>(kBulk / net::kRecordPayload));
}
