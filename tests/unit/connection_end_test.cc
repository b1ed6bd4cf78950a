// How a connection ends when it does not end cleanly: by a reset on every leg, at once, at every
// stage of its life.
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "proxy/data/dialer.h"
#include "tests/unit/relay_fixture.h"

namespace {

using namespace mooring;
using data::CloseReason;

// Ended is what a peer sees: 0 for a clean end, or an errno. It blocks until there is an end.
int Ended(int fd) {
  char bytes[4096];
  for (;;) {
    test::Await(fd, POLLIN);
    const ssize_t got = recv(fd, bytes, sizeof bytes, 0);
    if (got > 0) continue;
    if (got == 0) return 0;
    if (errno != EAGAIN) return errno;
  }
}

// Plain is a relay between two plaintext legs, as a connection owns it.
struct Plain {
  explicit Plain(net::Loop& loop_of) : loop(loop_of) {
    test::Sockets left;
    test::Sockets right;
    near = std::move(left.far);
    far = std::move(right.far);
    a.emplace(loop, std::move(left.leg), nullptr);
    b.emplace(loop, std::move(right.leg), nullptr);
    relay.emplace(loop, *a, *b, net::milliseconds{0},
                  [this](CloseReason reason) { ended = reason; });
    relay->Start();
  }
  void Close() {
    relay.reset();
    a.reset();
    b.reset();
  }

  net::Loop& loop;
  net::UniqueFd near, far;
  std::optional<net::Stream> a, b;
  std::optional<data::Relay> relay;
  std::optional<CloseReason> ended;
};

}  // namespace

TEST_CASE("relay: a peer that is found dead ends both legs at once, by a reset") {
  net::Loop loop;
  Plain plain(loop);
  // Neither peer reads. The kernel gives one of them up (TCP_USER_TIMEOUT holds for a zero window,
  // too, tcp(7)); the other one has bytes on its way that a reset which is passed on behind them
  // would have to wait for.
  const int soon = 200;
  REQUIRE(setsockopt(plain.b->fd(), IPPROTO_TCP, TCP_USER_TIMEOUT, &soon, sizeof soon) == 0);
  const std::vector<char> block(1 << 16, 'x');
  while (plain.a->pending() == 0 || plain.b->pending() == 0) {
    for (const int end : {plain.near.get(), plain.far.get()})
      (void)send(end, block.data(), block.size(), MSG_NOSIGNAL);
    test::Turn(loop);
  }
  const auto limit = std::chrono::steady_clock::now() + test::kGiveUp;
  while (plain.b->error() == 0) {
    REQUIRE(std::chrono::steady_clock::now() < limit);
    REQUIRE_FALSE(plain.ended);
    test::Turn(loop);
  }
  REQUIRE(plain.b->error() == ETIMEDOUT);
  REQUIRE(plain.ended);  // in that same turn
  CHECK(*plain.ended == CloseReason::kReset);
  plain.Close();
  CHECK(Ended(plain.near.get()) == ECONNRESET);
}

TEST_CASE(
    "dialer: a connect that nobody waits for any more is reset, even if the peer has taken it") {
  net::Loop loop;
  auto listener = net::Listen(test::Loopback());
  REQUIRE(listener);
  const auto dial = [&] { return net::StartConnect(net::SocketAddress::LocalOf(listener->get())); };
  const auto taken = [&] {
    test::Await(listener->get(), POLLIN);
    return net::UniqueFd(accept4(listener->get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  };
  std::optional<data::Dialer> dialer;
  dialer.emplace(loop, dial(), net::milliseconds{1'000}, [](net::UniqueFd, int) {});
  const net::UniqueFd peer = taken();
  dialer.reset();
  CHECK(Ended(peer.get()) == ECONNRESET);
}

TEST_CASE("stream: a discard takes a bounded amount an event, and comes to the end all the same") {
  net::Loop loop;
  test::Sockets sockets;
  struct Owner final : net::StreamObserver {
    void OnReadable(net::Stream& stream) override { over = stream.Discard(); }
    void OnDrained(net::Stream&) override {}
    void OnBroken(net::Stream&) override { over = true; }
    bool over = false;
  } owner;
  net::Stream stream(loop, std::move(sockets.leg), &owner);
  const int large = 8 << 20;  // twice the burst at least, whatever the kernel's defaults
  (void)setsockopt(stream.fd(), SOL_SOCKET, SO_RCVBUF, &large, sizeof large);
  const auto waiting = [&] { return static_cast<std::size_t>(net::Unread(stream.fd())); };
  const std::vector<char> block(1 << 16, 'x');
  const auto limit = std::chrono::steady_clock::now() + test::kGiveUp;
  while (waiting() < 3 * net::kReadBurst) {
    REQUIRE(std::chrono::steady_clock::now() < limit);
    (void)send(sockets.far.get(), block.data(), block.size(), MSG_NOSIGNAL);
  }
  stream.BeginDiscard();
  const std::size_t before = waiting();
  CHECK_FALSE(stream.Discard());
  CHECK(waiting() + net::kReadBurst >= before);
  sockets.far.Reset();
  while (!owner.over) {
    REQUIRE(std::chrono::steady_clock::now() < limit);
    test::Turn(loop);
  }
}
