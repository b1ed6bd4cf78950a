// What an established connection costs. No operator new: a message does not depend on the heap, and
// wiping what is freed (proxy/cli/wiping_delete.cc) costs the data path nothing. No system call but
// those that move the bytes: one recv and one send a message and relay, at once, and a change of
// interest only where a direction is held up.
#include <doctest/doctest.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "tests/unit/counted_calls.h"
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
// Enough for each session's record layer to have taken over (tls/record_layer.h), which allocates
// once for its key.
constexpr int kSettled = 8;
constexpr std::size_t kBulk = std::size_t{16} << 20U;
constexpr int kGrown = 2;  // of kBulk, after which the kernel's buffers have grown
// Under way at most: more than a large burst, less than any socket's buffer once the kernel has let
// it grow, so that the legs have nothing to keep.
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

// Course drives one Path. Its buffers are made beforehand, and its own calls are not counted, so
// that what is counted is the proxy's.
struct Course {
  explicit Course(int version = TLS1_3_VERSION) : mesh(version) {}

  // Turn serves once what is ready now, in both relays.
  void Turn() {
    const test::CountedCalls counted(calls);
    test::Turn(loop);
  }
  // Carry passes `bytes` from one app to the other, turn by turn. False: other bytes came, or none.
  bool Carry(int from, int to, std::span<const std::uint8_t> bytes) {
    std::size_t sent = 0;
    std::size_t arrived = 0;
    for (int idle = 0; arrived < bytes.size() && idle < kIdleTurns; ++idle) {
      const std::size_t more = std::min(bytes.size() - sent, kWindow - (sent - arrived));
      const ssize_t out = more == 0 ? 0 : send(from, bytes.data() + sent, more, MSG_NOSIGNAL);
      if (out < 0 && errno != EAGAIN) return false;
      if (out > 0) sent += static_cast<std::size_t>(out);
      Turn();
      kept = kept || path.Kept();
      bulk = bulk || path.outbound.app_leg.load() == net::Load::kBulk;
      for (;;) {
        const ssize_t in = recv(to, room.data(), room.size(), 0);
        if (in < 0 && errno == EAGAIN) break;
        if (in <= 0) return false;
        const auto got = static_cast<std::size_t>(in);
        if (got > bytes.size() - arrived ||
            std::memcmp(room.data(), bytes.data() + arrived, got) != 0)
          return false;
        arrived += got;
        idle = 0;
      }
    }
    return arrived == bytes.size();
  }
  // Ask passes a message there and back, so many times.
  bool Ask(std::span<const std::uint8_t> message, int times) {
    const int near = path.outbound.app.get();
    const int far = path.app.get();
    for (int i = 0; i < times; ++i) {
      if (!Carry(near, far, message) || !Carry(far, near, message)) return false;
    }
    return true;
  }
  bool Stream(std::span<const std::uint8_t> bytes) {
    return Carry(path.outbound.app.get(), path.app.get(), bytes);
  }

  net::Loop loop;
  tls::ends::Mesh mesh;
  Path path{loop, mesh};
  Bytes room = Bytes(kWindow);
  test::Calls calls;  // of all turns so far
  bool kept = false;
  bool bulk = false;
};

// Report tells of the one allocator left on the way: BoringSSL's, for the buffer of the record at
// hand.
void Report(int version, const std::string& what, const Allocations& total, double count) {
  MESSAGE("BoringSSL, TLS 1.", version - TLS1_VERSION, ", per ", what,
          " (encrypted once, decrypted once): OPENSSL_malloc ",
          static_cast<double>(total.by_boringssl) / count, ", malloc ",
          static_cast<double>(total.by_malloc) / count);
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
  for (const int version : tls::ends::kVersions) {
    CAPTURE(version);
    Course course(version);
    const Bytes message = Pattern(kMessage);
    REQUIRE(course.Ask(message, kSettled));

    bool good = false;
    Allocations total;
    {
      const test::CountedNew counted;
      good = course.Ask(message, kRoundTrips);
      total = counted.so_far();
    }
    REQUIRE(good);
    CHECK_FALSE(course.kept);
    CHECK(total.by_new == 0);
    Report(version, "message", total, 2.0 * kRoundTrips);
  }
}

TEST_CASE("a bulk stream calls operator new zero times" * kSkip) {
  for (const int version : tls::ends::kVersions) {
    CAPTURE(version);
    Course course(version);
    const Bytes bytes = Pattern(kBulk);
    for (int i = 0; i < kGrown; ++i) REQUIRE(course.Stream(bytes));

    course.kept = course.bulk = false;
    bool good = false;
    Allocations total;
    {
      const test::CountedNew counted;
      good = course.Stream(bytes);
      total = counted.so_far();
    }
    REQUIRE(good);
    CHECK(course.bulk);
    CHECK_FALSE(course.kept);
    CHECK(total.by_new == 0);
    Report(version, "16 KiB record", total, static_cast<double>(kBulk / net::kRecordPayload));
  }
}

TEST_CASE("a small message costs each relay one recv and one send, and leaves at once") {
  for (const int version : tls::ends::kVersions) {
    CAPTURE(version);
    Course course(version);
    const Bytes message = Pattern(kMessage);
    REQUIRE(course.Ask(message, kSettled));

    course.calls = {};
    REQUIRE(course.Ask(message, kRoundTrips));
    // there and back, through two relays
    constexpr std::size_t kHops = std::size_t{2} * 2 * kRoundTrips;
    CHECK(course.calls.recv == kHops);
    CHECK(course.calls.send == kHops);
    CHECK(course.calls.held_back == 0);
    CHECK(course.calls.epoll_ctl == 0);
  }
}

TEST_CASE("a small message leaves although those before it are not acknowledged") {
  // fewer than the kernel sends without an acknowledgement in any case (RFC 6928)
  constexpr int kMessages = 5;
  net::Loop loop;
  net::Loop far_loop;  // never runs: nobody reads, and the kernel puts off its acknowledgements
  const tls::ends::Mesh mesh;
  const test::Hop hop(loop, far_loop, mesh);
  int unacknowledged = 0;
  for (int i = 0; i < kMessages; ++i) {
    REQUIRE(send(hop.app.get(), "a", 1, MSG_NOSIGNAL) == 1);
    test::Await(hop.app_leg.fd(), POLLIN);
    test::Turn(loop);
    int waiting = -1;  // with Nagle's algorithm: all but the first
    REQUIRE(ioctl(hop.tls.client.fd(), SIOCOUTQNSD, &waiting) == 0);
    REQUIRE(waiting == 0);
    unacknowledged = std::max(unacknowledged, net::Unsent(hop.tls.client.fd()));
  }
  REQUIRE(hop.tls.client.bytes_out() == kMessages);
  CHECK(unacknowledged > 0);  // or the test shows nothing
}

TEST_CASE("a bulk stream changes no interest while its reader keeps up") {
  Course course;
  const Bytes bytes = Pattern(kBulk);
  for (int i = 0; i < kGrown; ++i) REQUIRE(course.Stream(bytes));
  course.kept = false;
  course.calls = {};
  REQUIRE(course.Stream(bytes));
  CHECK_FALSE(course.kept);
  CHECK(course.calls.epoll_ctl == 0);
}

TEST_CASE(
    "a direction that is held up costs two changes of interest, two when it goes on, and no call "
    "while it waits") {
  net::Loop loop;
  net::Loop far_loop;
  const tls::ends::Mesh mesh;
  test::Hop hop(loop, far_loop, mesh);
  const Bytes bytes = Pattern(net::kReadBurst);
  net::Stream& source = hop.app_leg;
  net::Stream& sink = hop.tls.client;
  std::uint64_t sent = 0;
  test::Calls calls;
  std::size_t times = 0;
  const auto turn = [&] {
    const bool held_up = sink.pending() > 0;
    {
      const test::CountedCalls counted(calls);
      test::Turn(loop);
    }
    if (!held_up && sink.pending() > 0) ++times;
  };

  turn();  // both legs are watched now
  calls = {};
  for (int idle = 0; sink.pending() == 0 && idle < kIdleTurns; ++idle) {
    const ssize_t took = send(hop.app.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (took > 0) sent += static_cast<std::uint64_t>(took);
    turn();
  }
  REQUIRE(times == 1);
  turn();  // what has changed in a turn is told to the kernel at the start of the next
  CHECK(calls.epoll_ctl == 2);

  calls = {};
  for (int i = 0; i < 100; ++i) turn();
  CHECK(calls.epoll_ctl + calls.recv + calls.send == 0);

  for (int idle = 0; source.bytes_in() < sent && idle < kIdleTurns; ++idle) {
    while (hop.tls.server.Read().status == net::Stream::ReadStatus::kData) {
    }
    turn();
  }
  REQUIRE(source.bytes_in() == sent);
  turn();
  CHECK(calls.epoll_ctl <= 4 * times - 2);
}
