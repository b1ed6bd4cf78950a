// Bulk streams on one loop leave room for a small one, and for each other. The bounds are in bytes,
// which are counted, not in time.
//
// A stream takes one burst in a turn, and one whose last read was heavy (net::Load::kHeavy) none
// once the turn has had net::kTurnBytes. So all of them together move at most kTurnMost bytes in a
// turn, and that is what a message waits for that is readable when the turn begins; where small
// messages have passed lately, at most kLightTurnMost. One that becomes readable during a turn
// waits for the rest of that turn besides.
#include <doctest/doctest.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/relay_fixture.h"

namespace {

using namespace mooring;
using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kStreams = 8;
constexpr int kTurns = 100;
constexpr int kTries = 1'000'000;  // of what takes a few: a test that hangs fails instead
constexpr std::size_t kLargestBurst = net::kLargeBurst / net::kRecord * net::kRecordPayload;
constexpr std::size_t kTurnMost = net::kTurnBytes - 1 + kLargestBurst;
// where small messages pass
constexpr std::size_t kLightTurnMost = net::kLightTurnBytes - 1 + net::kReadBurst;

// Bulk is a relay whose source is kept full and whose sink is kept empty, from outside of its loop.
struct Bulk {
  Bulk(net::Loop& loop, net::Loop& far_loop, const tls::ends::Mesh& mesh, bool to_mesh)
      : hop(loop, far_loop, mesh), outbound(to_mesh) {
    // A socket that is to report so much at once gets a buffer for it, and keeps it when any byte
    // will do again.
    for (const int wanted : {static_cast<int>(2 * net::kLargeBurst), 1}) {
      REQUIRE(setsockopt(source().fd(), SOL_SOCKET, SO_RCVLOWAT, &wanted, sizeof wanted) == 0);
    }
  }

  net::Stream& source() { return outbound ? hop.app_leg : hop.tls.client; }
  net::Stream& sink() { return outbound ? hop.tls.client : hop.app_leg; }
  std::uint64_t moved() { return source().bytes_in(); }

  std::size_t Readable() {
    int bytes = 0;
    REQUIRE(ioctl(source().fd(), FIONREAD, &bytes) == 0);
    return static_cast<std::size_t>(bytes);
  }
  void Fill(const Bytes& block) {
    if (Readable() >= 2 * net::kLargeBurst) return;
    if (outbound) {
      while (send(hop.app.get(), block.data(), block.size(), MSG_NOSIGNAL) > 0) {
      }
    } else {
      while (hop.tls.server.pending() == 0) REQUIRE(hop.tls.server.Write(block));
    }
  }
  void Drain(Bytes& room) {
    if (outbound) {
      while (hop.tls.server.Read().status == net::Stream::ReadStatus::kData) {
      }
    } else {
      while (recv(hop.app.get(), room.data(), room.size(), 0) > 0) {
      }
    }
  }

  test::Hop hop;
  bool outbound;
};

// Tap is told of a source's events before and after its relay is.
class Tap final : public net::StreamObserver {
 public:
  Tap(net::Stream& source, data::Relay& relay, std::function<void()> before,
      std::function<void()> after)
      : relay_(relay), before_(std::move(before)), after_(std::move(after)) {
    source.SetObserver(this);
  }

 private:
  void OnReadable(net::Stream& stream) override {
    before_();
    relay_.OnReadable(stream);
    after_();
  }
  void OnDrained(net::Stream& stream) override { relay_.OnDrained(stream); }
  void OnBroken(net::Stream& stream) override { relay_.OnBroken(stream); }

  data::Relay& relay_;
  std::function<void()> before_;
  std::function<void()> after_;
};

// Crowd is eight bulk relays on one loop, half of them in each direction.
struct Crowd {
  Crowd() {
    for (std::size_t i = 0; i < kStreams; ++i)
      bulk.push_back(std::make_unique<Bulk>(loop, far_loop, mesh, i % 2 == 0));
    // The kernel opens windows, and lets send buffers grow, with what passes through them.
    for (int i = 0; i < kTurns; ++i) {
      Refill();
      test::Turn(loop);
    }
    for (const auto& one : bulk) REQUIRE(one->source().load() == net::Load::kBulk);
  }

  std::uint64_t Moved() {
    std::uint64_t sum = 0;
    for (const auto& one : bulk) sum += one->moved();
    return sum;
  }
  void Refill() {
    for (const auto& one : bulk) {
      one->Drain(room);
      one->Fill(block);
    }
    test::Turn(far_loop);
  }
  // Prepare makes sure that every source has a burst for the next turn.
  void Prepare() {
    const auto full = [](const auto& one) { return one->Readable() >= net::kReadBurst; };
    Refill();
    for (int tries = 0; !std::all_of(bulk.begin(), bulk.end(), full); ++tries) {
      REQUIRE(tries < kTries);
      Refill();
    }
  }
  // Serve is one turn of the loop.
  void Serve() {
    const std::uint64_t before = Moved();
    test::Turn(loop);
    const std::uint64_t moved = Moved() - before;
    most = std::max(most, moved);
    if (moved >= net::kTurnBytes) ++full_turns;
  }

  net::Loop loop;
  net::Loop far_loop;
  tls::ends::Mesh mesh;
  std::vector<std::unique_ptr<Bulk>> bulk;
  Bytes block = Bytes(64 * 1024, 'b');
  Bytes room = Bytes(1 << 20);
  std::uint64_t most = 0;  // moved in one turn
  int full_turns = 0;      // those in which somebody had to stand back
};

// Small is one more relay among the crowd, and the bytes that the crowd moves while a message of
// its waits.
struct Small {
  explicit Small(Crowd& all) : crowd(all), hop(all.loop, all.far_loop, all.mesh) {}

  void Send() {
    REQUIRE(send(hop.app.get(), kText.data(), kText.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(kText.size()));
    test::Await(hop.app_leg.fd(), POLLIN);
    readable_at = crowd.Moved();
    waiting = true;
  }
  void NoteDelivery() {
    if (!waiting || hop.tls.client.bytes_out() == delivered) return;
    delivered = hop.tls.client.bytes_out();
    CHECK(hop.tls.client.pending() == 0);
    waited_for = crowd.Moved() - readable_at;
    waiting = false;
  }
  // Receive takes the message at the far end.
  void Receive() {
    test::Await(hop.tls.server.fd(), POLLIN);
    const net::Stream::ReadResult result = hop.tls.server.Read();
    REQUIRE(result.status == net::Stream::ReadStatus::kData);
    REQUIRE(std::string(result.bytes.begin(), result.bytes.end()) == kText);
  }

  inline static const std::string kText = "a small message";
  Crowd& crowd;
  test::Hop hop;
  Tap tap{hop.app_leg, hop.relay,
          [this] { light = crowd.loop.turn().ServesLight(crowd.loop.now()); },
          [this] { NoteDelivery(); }};
  bool light = false;  // the loop expected it
  std::uint64_t readable_at = 0;
  std::uint64_t delivered = 0;
  std::uint64_t waited_for = 0;
  bool waiting = false;
};

}  // namespace

TEST_CASE(
    "a message that is readable when a turn begins waits for one turn's share of bulk bytes") {
  Crowd crowd;
  Small small(crowd);
  std::uint64_t longest = 0;
  int light_turns = 0;
  for (int i = 0; i < kTurns; ++i) {
    crowd.Prepare();
    small.Send();
    crowd.Serve();
    REQUIRE_FALSE(small.waiting);
    REQUIRE(small.waited_for <= (small.light ? kLightTurnMost : kTurnMost));
    if (small.light) {
      ++light_turns;
      longest = std::max(longest, small.waited_for);
    }
    small.Receive();
  }
  CHECK(crowd.most <= kTurnMost);
  CHECK(light_turns > 0);
  MESSAGE("bulk bytes before a delivery: ", longest, " at most, ", kLightTurnMost,
          " allowed; light turns: ", light_turns, " of ", kTurns);
}

TEST_CASE(
    "a message that becomes readable during a turn waits for two turns' shares of bulk bytes") {
  Crowd crowd;
  Small small(crowd);
  bool due = false;
  const auto send = [&] {
    if (std::exchange(due, false)) small.Send();
  };
  std::vector<std::unique_ptr<Tap>> taps;
  for (const auto& one : crowd.bulk) {
    taps.push_back(std::make_unique<Tap>(one->source(), one->hop.relay, send, [] {}));
  }
  std::uint64_t longest = 0;
  for (int i = 0; i < kTurns; ++i) {
    due = true;  // at the first event of the turn
    for (int turn = 0; turn < 2; ++turn) {
      crowd.Prepare();
      crowd.Serve();
    }
    REQUIRE_FALSE(due);
    REQUIRE_FALSE(small.waiting);
    REQUIRE(small.waited_for <= 2 * kTurnMost);
    longest = std::max(longest, small.waited_for);
    small.Receive();
  }
  MESSAGE("bulk bytes before a delivery: ", longest, " at most, ", 2 * kTurnMost, " allowed");
}

TEST_CASE("bulk streams share a loop: none gets less than half of the mean") {
  Crowd crowd;
  std::vector<std::uint64_t> before;
  for (const auto& one : crowd.bulk) before.push_back(one->moved());
  for (int i = 0; i < kTurns; ++i) {
    crowd.Prepare();
    crowd.Serve();
  }
  std::uint64_t sum = 0;
  std::uint64_t least = UINT64_MAX;
  for (std::size_t i = 0; i < kStreams; ++i) {
    const std::uint64_t share = crowd.bulk[i]->moved() - before[i];
    sum += share;
    least = std::min(least, share);
  }
  CHECK(crowd.full_turns > 0);
  CHECK(least * kStreams * 2 >= sum);
  MESSAGE("the least served has ", 100 * least * kStreams / sum,
          "% of the mean; full turns: ", crowd.full_turns, " of ", kTurns);
}

TEST_CASE("streams that never fill a burst share a turn, too") {
  constexpr std::size_t kMany = 80;
  constexpr std::size_t kEach = 48 * 1024;
  static_assert(kEach < net::kReadBurst / 2 && kEach > net::LoadMeter::kHeavyRead &&
                kMany * kEach > net::kTurnBytes + kLargestBurst);
  net::Loop loop;
  net::Loop far_loop;
  const tls::ends::Mesh mesh;
  std::vector<std::unique_ptr<test::Hop>> hops;
  for (std::size_t i = 0; i < kMany; ++i)
    hops.push_back(std::make_unique<test::Hop>(loop, far_loop, mesh));
  const Bytes block(kEach, 'b');
  std::vector<std::uint64_t> sent(kMany, 0);
  const auto moved = [&] {
    std::uint64_t sum = 0;
    for (const auto& hop : hops) sum += hop->app_leg.bytes_in();
    return sum;
  };
  int full_turns = 0;
  for (int turn = 0; turn < kTurns; ++turn) {
    for (std::size_t i = 0; i < kMany; ++i) {
      while (hops[i]->tls.server.Read().status == net::Stream::ReadStatus::kData) {
      }
      if (sent[i] != hops[i]->app_leg.bytes_in()) continue;  // had to stand back
      REQUIRE(send(hops[i]->app.get(), block.data(), block.size(), MSG_NOSIGNAL) ==
              static_cast<ssize_t>(kEach));
      sent[i] += kEach;
      test::Await(hops[i]->app_leg.fd(), POLLIN);
    }
    test::Turn(far_loop);
    const std::uint64_t before = moved();
    test::Turn(loop);
    const std::uint64_t share = moved() - before;
    if (turn == 0) {  // nobody has been heavy yet
      REQUIRE(share <= net::kTurnBytes - 1 + kEach + kMany * net::kRecord);
      continue;
    }
    REQUIRE(share <= net::kTurnBytes - 1 + kEach);
    if (share >= net::kTurnBytes) ++full_turns;
  }
  CHECK(full_turns > 0);
}
