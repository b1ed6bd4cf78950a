// A port that refuses and stays ours, by the kernel that runs the tests. What other users may bind
// is field/test_honest_connect.py's.
#include "proxy/net/refusing_port.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <utility>

#include "proxy/net/listener.h"
#include "proxy/net/socket.h"
#include "tests/unit/http_fixture.h"
#include "tests/unit/test_clock.h"

namespace mooring::net {
namespace {

using namespace std::chrono_literals;
using test::Loopback;

// FreePort was free a moment ago.
std::uint16_t FreePort() { return SocketAddress::LocalOf(Listen(Loopback())->get()).port(); }

// Port listens at a port that it has asked for by number.
struct Port {
  // Call connects: 0 or what connect says.
  int Call() {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(fd.get(), address.raw(), address.length()) != 0) return errno;
    client = std::move(fd);
    return 0;
  }
  UniqueFd Accepted() const { return UniqueFd(accept(listening.get(), nullptr, nullptr)); }
  // Thief binds and listens as another program might: 0 or what stood in its way.
  int Thief(bool shares_address, bool shares_port) const {
    const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    if (shares_address) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (shares_port) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(fd.get(), address.raw(), address.length()) != 0) return errno;
    return listen(fd.get(), 1) == 0 ? 0 : errno;
  }
  void NobodyGetsIt() const {
    for (const bool shares_address : {false, true}) {
      for (const bool shares_port : {false, true})
        CHECK(Thief(shares_address, shares_port) == EADDRINUSE);
    }
  }

  UniqueFd listening = *Listen(Loopback(FreePort()));
  SocketAddress address = SocketAddress::LocalOf(listening.get());
  UniqueFd client;
};

TEST_CASE("refusing port: it refuses at once, listens again, and is nobody else's meanwhile") {
  Port port;
  for (int i = 0; i < 200; ++i) {
    REQUIRE(RefuseAt(port.listening.get()));
    CHECK(port.Call() == ECONNREFUSED);
    port.NobodyGetsIt();
    REQUIRE(ListenAgain(port.listening.get()));
    CHECK(port.Call() == 0);
    port.client.Reset();
    (void)port.Accepted();
    port.NobodyGetsIt();
  }
}

TEST_CASE("refusing port: connections that were made there live on, and are not in its way") {
  Port port;
  REQUIRE(port.Call() == 0);
  UniqueFd first = std::move(port.client);
  UniqueFd server = port.Accepted();
  for (int i = 0; i < 3; ++i) {
    REQUIRE(RefuseAt(port.listening.get()));
    port.NobodyGetsIt();
    REQUIRE(ListenAgain(port.listening.get()));
    port.NobodyGetsIt();
    REQUIRE(port.Call() == 0);
    CHECK(port.Accepted());
  }
  REQUIRE(send(first.get(), "x", 1, 0) == 1);
  char byte = 0;
  CHECK(recv(server.get(), &byte, 1, 0) == 1);
  // Our end closes first: TIME_WAIT is here.
  server.Reset();
  CHECK(recv(first.get(), &byte, 1, 0) == 0);
  first.Reset();
  REQUIRE(RefuseAt(port.listening.get()));
  port.NobodyGetsIt();
  REQUIRE(ListenAgain(port.listening.get()));
  CHECK(port.Call() == 0);
  // A restart finds the port free, too.
  port.listening.Reset();
  CHECK(Listen(Loopback(port.address.port())));
}

TEST_CASE("refusing port: who waits in the kernel's queue is reset") {
  Port port;
  REQUIRE(port.Call() == 0);
  REQUIRE(RefuseAt(port.listening.get()));
  char byte = 0;
  CHECK(recv(port.client.get(), &byte, 1, 0) == -1);
  CHECK(errno == ECONNRESET);
}

TEST_CASE("acceptor: a socket that refuses costs one look, and Resume takes it up again") {
  test::Clock clock;
  Loop loop;
  Port port;
  int looks = 0, accepted = 0, pauses = 0;
  Acceptor acceptor(loop, UniqueFd(fcntl(port.listening.get(), F_DUPFD_CLOEXEC, 0)),
                    {.on_accept = [&](UniqueFd, const SocketAddress&) { ++accepted; },
                     .on_pause = [&](int) { ++pauses; },
                     .has_room =
                         [&] {
                           ++looks;
                           return true;
                         }});
  const auto pass = [&](milliseconds time) {
    bool over = false;
    Timer timer(loop, [&] { over = true; });
    timer.Start(time);
    clock.RunUntil(loop, [&] { return over; });
  };
  for (int round = 1; round <= 3; ++round) {
    looks = 0;
    REQUIRE(RefuseAt(port.listening.get()));
    pass(10s);
    CHECK(looks == 1);
    acceptor.Resume();  // for what came free elsewhere
    pass(10s);
    CHECK(looks == 2);
    CHECK(pauses == 0);
    REQUIRE(ListenAgain(port.listening.get()));
    acceptor.Resume();
    REQUIRE(port.Call() == 0);
    clock.RunUntil(loop, [&] { return accepted == round; });
  }
}

}  // namespace
}  // namespace mooring::net
