// The search for an instance, without a connection around it: over real sockets, with a host made
// for the test.
#include "proxy/data/search.h"

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/data/round_robin.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/shortage_fixture.h"
#include "tests/unit/test_clock.h"

namespace mooring::data {
namespace {

using namespace std::chrono_literals;

// World is a host, and one search with what came of it. Turns begin at the first endpoint.
class World final : public test::FakeHost, public Search::Owner {
 public:
  std::shared_ptr<Upstream> UpstreamOf(const std::string&) override { return upstream_; }
  void OnFound(std::unique_ptr<net::Stream> proven) override { found = std::move(proven); }
  void OnNotFound(CloseReason reason) override { failed = reason; }
  void StrangerLog(CloseReason reason, log::Level level, log::Literal message, std::string_view who,
                   log::Fields fields) override {
    said_at.push_back(std::chrono::round<net::milliseconds>(loop().now() - made_at_));
    FakeHost::StrangerLog(reason, level, message, who, fields);
  }

  // Know gives the host a snapshot: an identity, and db at these addresses.
  void Know(const std::shared_ptr<const Identity>& identity,
            const std::vector<net::SocketAddress>& addresses) {
    auto rules = std::make_shared<UpstreamRules>();
    rules->known = true;
    rules->connect_timeout = limit;
    rules->identity = std::make_shared<const authz::ServiceId>(tls::ends::Service("db"));
    for (const net::SocketAddress& address : addresses) {
      Endpoint endpoint;
      endpoint.address = address;
      endpoint.identity = rules->identity;
      rules->endpoints.push_back(std::move(endpoint));
    }
    histories.Attach(&rules->endpoints);
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->identity = identity;
    snapshot->roots_stale = roots_stale;
    snapshot->upstreams["db"] = rules;
    FakeHost::Know(std::move(snapshot));
    if (upstream_) {
      upstream_->Use(rules);
    } else {
      upstream_ = std::make_shared<Upstream>(std::make_unique<RoundRobin>(0), rules);
    }
  }
  const EndpointHistory& History(std::size_t endpoint) const {
    return *upstream_->rules()->endpoints[endpoint].history;
  }
  void Await() {
    test::RunUntil(loop(), [this] { return found || failed; });
  }
  // Await with a clock sees every deadline at its time, and waits for none. Nobody on another
  // thread may have a part in it.
  void Await(test::Clock& clock) {
    clock.RunUntil(loop(), [this] { return found || failed; });
  }
  // About is true for a time that is `expected`, but for the time that the test itself took.
  static bool About(net::milliseconds time, net::milliseconds expected) {
    return time >= expected - 1ms && time < expected + 1'000ms;
  }

  net::milliseconds limit{5'000};
  bool roots_stale = false;
  Histories histories;
  std::unique_ptr<net::Stream> found;
  std::optional<CloseReason> failed;
  // when each of `said` was, from the beginning of this world
  std::vector<net::milliseconds> said_at;

 private:
  const net::MonotonicTime made_at_ = loop().now();
  std::shared_ptr<Upstream> upstream_;
};

// Refusing is an address on which nobody listens; Silent one on which nobody answers.
net::SocketAddress Refusing() {
  auto opened = net::Listen(test::Loopback());
  REQUIRE(opened);
  return net::SocketAddress::LocalOf(opened->get());
}
struct Silent {
  Silent() {
    auto opened = net::Listen(test::Loopback());
    REQUIRE(opened);
    fd = std::move(*opened);
  }
  net::SocketAddress address() const { return net::SocketAddress::LocalOf(fd.get()); }
  net::UniqueFd fd;
};

TEST_CASE(
    "search: what it finds is proven, and the one before that refused is counted against it") {
  test::Sidecars sidecars;
  World world;
  world.Know(sidecars.IdentityOf(sidecars.web_leaf),
             {Refusing(), net::SocketAddress::LocalOf(sidecars.in.get())});
  std::optional<Search> search;
  search.emplace(world, world, "db");
  search->Begin();
  world.Await();
  REQUIRE(world.found);
  CHECK(world.found->session()->judgement().id == tls::ends::Service("db"));
  CHECK(world.said == std::vector{CloseReason::kConnectRefused});
  CHECK(world.counters(ListenerKind::kUpstream)
            .attempts_failed[CloseReason::kConnectRefused]
            .value() == 1);
  CHECK(world.History(0).failures_in_a_row() == 1);
  CHECK(world.History(0).in_flight() == 0);
  CHECK(world.History(1).in_flight() == 1);
  CHECK(!world.History(1).connect_time());  // not before it is used
  {
    const Lease lease = search->Conclude();
    search.reset();
    CHECK(world.History(1).in_flight() == 1);
    CHECK(world.History(1).connect_time());
  }
  CHECK(world.History(1).in_flight() == 0);
  world.found.reset();
}

TEST_CASE("search: an instance that was found and refuses after all is followed by the next") {
  test::Sidecars sidecars;
  const auto db = net::SocketAddress::LocalOf(sidecars.in.get());
  const net::UniqueFd another =
      test::Sidecars::Open(sidecars.service, "another", ListenerKind::kPublic);
  World world;
  world.Know(sidecars.IdentityOf(sidecars.web_leaf),
             {db, net::SocketAddress::LocalOf(another.get())});
  Search search(world, world, "db");
  search.Begin();
  world.Await();
  REQUIRE(world.found);
  world.found.reset();
  search.GoOn(CloseReason::kPeerAlert, "told so");
  world.Await();
  REQUIRE(world.found);
  CHECK(world.History(0).failures_in_a_row() == 1);
  CHECK(world.History(1).in_flight() == 1);
  world.found.reset();
  search.GoOn(CloseReason::kPeerAlert, "told so");
  CHECK(world.failed == CloseReason::kConnectFailed);
  CHECK(world.History(1).in_flight() == 0);
}

TEST_CASE("search: it waits for identity and endpoints, as long as it may take") {
  test::Sidecars sidecars;
  World world;
  {
    Search search(world, world, "db");
    search.Begin();
    CHECK(!world.failed);
    world.Know(sidecars.IdentityOf(sidecars.web_leaf),
               {net::SocketAddress::LocalOf(sidecars.in.get())});
    search.OnSnapshot();
    world.Await();
    CHECK(world.found);
    world.found.reset();
  }
  test::Clock clock;
  World never;
  never.limit = 30'000ms;
  never.Know(nullptr, {});
  Search search(never, never, "db");
  search.Begin();
  never.Await(clock);
  CHECK(never.failed == CloseReason::kNotReady);
  REQUIRE(never.said_at.size() == 1);
  CHECK(World::About(never.said_at[0], 30'000ms));
}

TEST_CASE("search: endpoints that come in the middle of the wait have what is left of the time") {
  test::Sidecars sidecars;
  const Silent silent;
  test::Clock clock;
  World world;
  world.limit = 30'000ms;
  world.Know(nullptr, {});
  Search search(world, world, "db");
  search.Begin();
  clock.Skip(world.loop(), 20'000ms);
  world.Know(sidecars.IdentityOf(sidecars.web_leaf), {silent.address()});
  search.OnSnapshot();
  CHECK(search.Left() <= 10'000ms);
  CHECK(search.Left() > 9'000ms);
  world.Await(clock);
  CHECK(world.failed == CloseReason::kHandshakeTimeout);
  REQUIRE(world.said_at.size() == 1);
  CHECK(World::About(world.said_at[0], 30'000ms));
}

TEST_CASE(
    "search: a silent endpoint has its share of the time, and the reason says how far it came") {
  test::Sidecars sidecars;
  const Silent silent;
  const Silent second;
  const Silent third;
  const auto identity = sidecars.IdentityOf(sidecars.web_leaf);
  {
    test::Clock clock;
    World alone;
    alone.limit = 5'000ms;
    alone.Know(identity, {silent.address()});
    Search search(alone, alone, "db");
    search.Begin();
    alone.Await(clock);
    CHECK(alone.failed == CloseReason::kHandshakeTimeout);
    REQUIRE(alone.said_at.size() == 1);
    CHECK(World::About(alone.said_at[0], 5'000ms));
  }
  {
    test::Clock clock;
    World three;
    three.limit = 30'000ms;
    three.Know(identity, {silent.address(), second.address(), third.address()});
    Search search(three, three, "db");
    search.Begin();
    three.Await(clock);
    CHECK(three.failed == CloseReason::kConnectFailed);
    CHECK(three.said == std::vector(3, CloseReason::kHandshakeTimeout));
    REQUIRE(three.said_at.size() == 3);
    CHECK(World::About(three.said_at[0], 10'000ms));
    CHECK(World::About(three.said_at[1], 20'000ms));
    CHECK(World::About(three.said_at[2], 30'000ms));
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(three.History(i).failures_in_a_row() == 1);
      CHECK(three.History(i).in_flight() == 0);
    }
  }
}

TEST_CASE("search: a good endpoint behind a silent one is found in the time that is left") {
  test::Sidecars sidecars;
  const Silent silent;
  test::Clock clock;
  World world;
  world.limit = 40'000ms;
  world.Know(sidecars.IdentityOf(sidecars.web_leaf),
             {silent.address(), net::SocketAddress::LocalOf(sidecars.in.get())});
  Search search(world, world, "db");
  search.Begin();
  clock.RunUntil(world.loop(), [&] { return !world.said.empty(); });
  CHECK(world.said == std::vector{CloseReason::kHandshakeTimeout});
  CHECK(World::About(world.said_at[0], 20'000ms));
  world.Await();  // a sidecar on a thread of its own
  REQUIRE(world.found);
  CHECK(search.Left() > 15'000ms);
  CHECK(world.History(0).failures_in_a_row() == 1);
  world.found.reset();
}

TEST_CASE("search: what nobody could help is said at once, without an attempt") {
  test::Sidecars sidecars;
  const auto identity = sidecars.IdentityOf(sidecars.web_leaf);
  World nobody;
  nobody.Know(identity, {});
  Search none(nobody, nobody, "db");
  none.Begin();
  CHECK(nobody.failed == CloseReason::kNoEndpoint);

  World old;
  old.roots_stale = true;
  old.Know(identity, {Refusing()});
  Search stale(old, old, "db");
  stale.Begin();
  CHECK(old.failed == CloseReason::kStale);
  CHECK(old.said == std::vector{CloseReason::kStale});
  CHECK(old.History(0).in_flight() == 0);
}

TEST_CASE("search: its owner may destroy it in what it is told") {
  struct Owner final : Search::Owner {
    std::optional<Search> search;
    bool told = false;
    void OnFound(std::unique_ptr<net::Stream>) override { End(); }
    void OnNotFound(CloseReason) override { End(); }
    void End() {
      told = true;
      search.reset();
    }
  };
  test::Sidecars sidecars;
  const Silent silent;
  for (const auto& address :
       {Refusing(), silent.address(), net::SocketAddress::LocalOf(sidecars.in.get())}) {
    test::Clock clock;
    World world;
    world.Know(sidecars.IdentityOf(sidecars.web_leaf), {address});
    Owner owner;
    owner.search.emplace(world, owner, "db");
    owner.search->Begin();
    if (address == silent.address()) clock.Skip(world.loop(), world.limit);
    test::RunUntil(world.loop(), [&] { return owner.told; });
    CHECK(world.History(0).in_flight() == 0);
  }
}

}  // namespace
}  // namespace mooring::data
