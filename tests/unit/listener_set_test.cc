#include "proxy/control/listener_set.h"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <map>
#include <new>
#include <string>

#include "proxy/net/listener.h"
#include "proxy/net/refusing_port.h"
#include "tests/unit/failing_new.h"
#include "tests/unit/http_fixture.h"
#include "tests/unit/test_clock.h"

namespace mooring::control {
namespace {

using namespace std::chrono_literals;
using test::Loopback;

constexpr net::milliseconds kSlack{1'000};  // of the machine, whose time passes as well

// Holder has a port of its own.
struct Holder {
  net::UniqueFd fd = *net::Listen(Loopback());
  std::uint16_t port = net::SocketAddress::LocalOf(fd.get()).port();
};

// FreePort was free a moment ago.
std::uint16_t FreePort() { return Holder().port; }

// Connect is 0, or what connect says.
int Connect(std::uint16_t port) {
  const net::SocketAddress address = *net::SocketAddress::FromLiteral(Loopback(port));
  const net::UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return connect(client.get(), address.raw(), address.length()) == 0 ? 0 : errno;
}

struct World {
  void Update(const std::map<std::string, std::uint16_t>& ports) {
    std::map<std::string, ListenerSet::Wanted> wanted;
    for (const auto& [name, port] : ports)
      wanted[name] = {Loopback(port), data::ListenerKind::kUpstream};
    set.Update(wanted);
  }
  void Await(const std::function<bool()>& done) { clock.RunUntil(loop, done); }
  void Pass(net::milliseconds time) {
    bool over = false;
    net::Timer timer(loop, [&] { over = true; });
    timer.Start(time);
    Await([&] { return over; });
  }
  net::milliseconds UntilOpen(const std::string& name) {
    const net::MonotonicTime from = loop.now();
    Await([&] { return set.IsOpen(name); });
    return std::chrono::duration_cast<net::milliseconds>(loop.now() - from);
  }

  test::Clock clock;
  net::Loop loop;
  log::Log log{log::Level::kError, false};
  std::vector<data::ServiceHost*> hosts;
  std::vector<std::string> failed;
  int opened = 0;
  net::Inherited inherited;
  ListenerSet set{loop,
                  log,
                  hosts,
                  inherited,
                  [this](const std::string& name, const Error&) { failed.push_back(name); },
                  [this] { ++opened; }};
};

TEST_CASE("listener set: what is wanted opens, after Update and never inside it") {
  World world;
  CHECK(world.set.AllOpen());
  CHECK_FALSE(world.set.NoneCanOpen());
  world.Update({{"a", 0}, {"b", 0}});
  CHECK_FALSE(world.set.Settled());
  CHECK(world.opened == 0);
  world.Await([&] { return world.set.AllOpen(); });
  CHECK(world.opened == 2);
  CHECK(world.set.Settled());
  CHECK_FALSE(world.set.NoneCanOpen());
  CHECK(world.set.BoundPort("a") != 0);
  CHECK(world.failed.empty());
}

TEST_CASE(
    "listener set: a port that is taken is told once, harms no other, and is tried again until it "
    "is free") {
  World world;
  Holder holder;
  world.Update({{"good", 0}, {"taken", holder.port}});
  world.Await([&] { return world.set.Settled(); });
  CHECK(world.set.IsOpen("good"));
  CHECK_FALSE(world.set.AllOpen());
  CHECK_FALSE(world.set.NoneCanOpen());
  world.Pass(60s);
  CHECK(world.failed == std::vector<std::string>{"taken"});
  for (const ListenerSet::View& view : world.set.Views()) {
    CHECK(view.open == (view.name == "good"));
    CHECK(view.error.empty() == (view.name == "good"));
  }
  holder.fd.Reset();
  CHECK(world.UntilOpen("taken") <= 2s + kSlack);
  CHECK(world.set.AllOpen());
  for (const ListenerSet::View& view : world.set.Views()) CHECK(view.error.empty());
}

TEST_CASE(
    "listener set: the pauses are short at first, two seconds at last, and begin anew when all are "
    "open") {
  World world;
  Holder first;
  world.Update({{"first", first.port}});
  world.Await([&] { return world.set.Settled(); });
  first.fd.Reset();
  CHECK(world.UntilOpen("first") <= 250ms + kSlack / 2);
  Holder second;
  world.Update({{"first", first.port}, {"second", second.port}});
  world.Pass(60s);
  second.fd.Reset();
  CHECK(world.UntilOpen("second") <= 2s + kSlack);
  // One look at that all are open is due yet.
  world.Pass(3s);
  Holder third;
  world.Update({{"first", first.port}, {"third", third.port}});
  world.Await([&] { return world.set.Settled(); });
  third.fd.Reset();
  CHECK(world.UntilOpen("third") <= 250ms + kSlack / 2);
}

TEST_CASE(
    "listener set: where none can open that is known when each has been tried, and may change") {
  World world;
  Holder one, two;
  world.Update({{"one", one.port}, {"two", two.port}});
  CHECK_FALSE(world.set.NoneCanOpen());
  world.Await([&] { return world.set.Settled(); });
  CHECK(world.set.NoneCanOpen());
  one.fd.Reset();
  world.Await([&] { return world.set.IsOpen("one"); });
  CHECK_FALSE(world.set.NoneCanOpen());
  CHECK_FALSE(world.set.AllOpen());
}

TEST_CASE(
    "listener set: what is not wanted any more closes, and another may take its address in the "
    "same change") {
  World world;
  const std::uint16_t port = FreePort();
  world.Update({{"a", port}});
  world.Await([&] { return world.set.AllOpen(); });
  world.Update({{"b", port}});
  CHECK_FALSE(world.set.IsOpen("a"));
  world.Await([&] { return world.set.AllOpen(); });
  CHECK(world.set.BoundPort("b") == port);
  CHECK(world.failed.empty());
  world.Update({});
  CHECK(net::Listen(Loopback(port)));
}

TEST_CASE(
    "listener set: one that is wanted elsewhere before it could open is tried at its new place "
    "alone") {
  World world;
  Holder holder;
  world.Update({{"a", holder.port}});
  world.Update({{"a", 0}});
  world.Await([&] { return world.set.AllOpen(); });
  CHECK(world.failed.empty());
  CHECK(world.set.BoundPort("a") != holder.port);
}

TEST_CASE("listener set: one that there was no memory to open is opened by the next change") {
  std::size_t failed = 1;
  for (std::size_t n = 1; failed > 0; ++n) {
    CAPTURE(n);
    World world;
    const std::map<std::string, ListenerSet::Wanted> wanted{
        {"a", {Loopback(0), data::ListenerKind::kUpstream}}};
    test::FailingNew::Arm(n, 1);
    try {
      world.set.Update(wanted);
    } catch (const std::bad_alloc&) {
    }
    failed = test::FailingNew::Lift().failed;
    world.set.Update(wanted);
    world.Await([&] { return world.set.IsOpen("a"); });
  }
}

TEST_CASE(
    "listener set: one that is to refuse does so at its port, whether it is open yet or not, and "
    "takes clients again") {
  World world;
  const std::uint16_t port = FreePort();
  world.Update({{"a", port}});
  world.set.Refuse("a", "nobody is there");
  world.set.Refuse("unknown", "nobody is there");
  world.Await([&] { return world.set.AllOpen(); });
  for (int i = 0; i < 3; ++i) {
    CHECK(Connect(port) == ECONNREFUSED);
    CHECK_FALSE(net::Listen(Loopback(port)));
    ListenerSet::View view = world.set.Views().front();
    CHECK(view.open);
    CHECK(view.refuses_for == "nobody is there");
    REQUIRE(view.refuses_since);
    const net::MonotonicTime since = *view.refuses_since;
    world.Pass(1s);
    world.set.Refuse("a", "nobody is there");
    CHECK(world.set.Views().front().refuses_since == since);
    world.set.Refuse("a", "");
    CHECK(Connect(port) == 0);
    view = world.set.Views().front();
    CHECK(view.refuses_for.empty());
    CHECK_FALSE(view.refuses_since);
    world.set.Refuse("a", "nobody is there");
  }
  CHECK(world.failed.empty());
}

TEST_CASE("listener set: one that moves, or comes back, has forgotten that it was to refuse") {
  World world;
  const std::uint16_t first = FreePort(), second = FreePort();
  world.Update({{"a", first}});
  world.Await([&] { return world.set.AllOpen(); });
  world.set.Refuse("a", "nobody is there");
  world.Update({{"a", second}});
  world.Await([&] { return world.set.AllOpen(); });
  CHECK(Connect(second) == 0);
  CHECK(net::Listen(Loopback(first)));
  world.set.Refuse("a", "nobody is there");
  world.Update({});
  CHECK(net::Listen(Loopback(second)));
}

TEST_CASE("listener set: a port that the kernel chose goes on taking clients") {
  World world;
  world.Update({{"a", 0}});
  world.Await([&] { return world.set.AllOpen(); });
  world.set.Refuse("a", "nobody is there");
  CHECK(Connect(world.set.BoundPort("a")) == 0);
  CHECK_FALSE(world.set.Views().front().refuses_since);
}

TEST_CASE("listener set: closing a kind ends its listeners for good, and says when") {
  World world;
  world.Update({{"a", 0}});
  world.Await([&] { return world.set.AllOpen(); });
  const std::uint16_t port = world.set.BoundPort("a");
  bool done = false;
  world.set.CloseKind(data::ListenerKind::kPublic, ListenerSet::Kept::kStay, [&] { done = true; });
  world.Await([&] { return done; });
  CHECK(world.set.IsOpen("a"));
  done = false;
  world.set.CloseKind(data::ListenerKind::kUpstream, ListenerSet::Kept::kStay,
                      [&] { done = true; });
  world.Await([&] { return done; });
  CHECK(world.set.Views().empty());
  CHECK(net::Listen(Loopback(port)));
}

TEST_CASE("listener set: a socket that was inherited is used in place of a new one") {
  World world;
  Holder given;
  const int number = given.fd.get();
  world.inherited.Add(std::move(given.fd));
  world.Update({{"a", given.port}});
  world.Await([&] { return world.set.Settled(); });
  CHECK(world.set.IsOpen("a"));
  CHECK(net::SocketAddress::LocalOf(number).port() == given.port);
  CHECK(world.inherited.Left().empty());
  world.Update({});
  CHECK(net::Listen(Loopback(given.port)));
}

TEST_CASE(
    "listener set: the socket of a unit never refuses, and outlives its listener for the next") {
  World world;
  Holder given;
  world.inherited.Add(std::move(given.fd), "a.socket");
  world.Update({{"a", given.port}});
  world.set.Refuse("a", "nobody is there");
  world.Await([&] { return world.set.IsOpen("a"); });
  CHECK(Connect(given.port) == 0);
  world.Update({});
  CHECK(world.inherited.Left().size() == 1);
  CHECK(Connect(given.port) == 0);
  world.Update({{"b", given.port}});
  world.Await([&] { return world.set.IsOpen("b"); });
  CHECK(world.inherited.Left().empty());
}

TEST_CASE("listener set: one that is inherited refusing goes on so, or takes clients again") {
  World world;
  const std::uint16_t one = FreePort(), two = FreePort();
  for (const std::uint16_t port : {one, two}) {
    net::UniqueFd fd = *net::Listen(Loopback(port));
    REQUIRE(net::RefuseAt(fd.get()));
    world.inherited.Add(std::move(fd));
  }
  world.Update({{"one", one}, {"two", two}});
  world.set.Refuse("two", "nobody is there");
  world.Await([&] { return world.set.AllOpen(); });
  CHECK(Connect(one) == 0);
  CHECK(Connect(two) == ECONNREFUSED);
  world.set.Refuse("two", "");
  CHECK(Connect(two) == 0);
}

TEST_CASE("listener set: memory that is short never loses an inherited socket") {
  std::size_t failed = 1;
  for (std::size_t n = 1; failed > 0; ++n) {
    CAPTURE(n);
    World world;
    Holder given;
    world.inherited.Add(std::move(given.fd));
    world.Update({{"a", given.port}});
    test::FailingNew::Arm(n, 1);
    try {
      world.Await([&] { return world.set.IsOpen("a"); });
    } catch (const std::bad_alloc&) {
    }
    failed = test::FailingNew::Lift().failed;
    CHECK((world.set.IsOpen("a") || world.inherited.Left().size() == 1));
    world.Await([&] { return world.set.IsOpen("a"); });
    CHECK(world.failed.empty());
  }
}

}  // namespace
}  // namespace mooring::control
