// The search for an instance, without a connection around it: over real sockets, with a host made for the test.
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

namespace mooring::data {
namespace {

using namespace std::chrono_literals;

// World is a host, and one search with what came of it. Turns begin at the first endpoint.
class World final : public test::FakeHost, public Search::Owner {
 public:
  std::shared_ptr<Upstream> UpstreamOf(const std::string&) override { return upstream_; }
  void OnFound(std::unique_ptr<net::Stream> proven) override { found = std::move(proven); }
  void OnNotFound(CloseReason reason) override { failed = reason; }

  // Know gives the host a snapshot: an identity, and db at these addresses.
  void Know(const std::shared_ptr<const Identity>& identity, const std::vector<net::SocketAddress>& addresses) {
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
  const EndpointHistory& History(std::size_t endpoint) const { return *upstream_->rules()->endpoints[endpoint].history; }
  void Await() {
    test::RunUntil(loop(), [this] { return found || failed; });
  }

  net::milliseconds limit{5'000};
  bool roots_stale = false;
  Histories histories;
  std::unique_ptr<net::Stream> found;
  std::optional<CloseReason> failed;

 private:
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

TEST_CASE("search: what it finds is proven, and the one before that refused is counted against it") {
  test::Sidecars sidecars;
  World world;
  world.Know(sidecars.IdentityOf(sidecars.web_leaf), {Refusing(), net::SocketAddress::LocalOf(sidecars.in.get())});
  std::optional<Search> search;
  search.emplace(world, world, "db");
  search->Begin();
  world.Await();
  REQUIRE(world.found);
  CHECK(world.found->session()->judgement().id == tls::ends::Service("db"));
  CHECK(world.said == std::vector{CloseReason::kConnectRefused});
  CHECK(world.counters(ListenerKind::kUpstream).attempts_failed[CloseReason::kConnectRefused].value() == 1);
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
  const net::UniqueFd another = test::Sidecars::Open(sidecars.service, "another", ListenerKind::kPublic);
  World world;
  world.Know(sidecars.IdentityOf(sidecars.web_leaf), {db, net::SocketAddress::LocalOf(another.get())});
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
    world.Know(sidecars.IdentityOf(sidecars.web_leaf), {net::SocketAddress::LocalOf(sidecars.in.get())});
    search.OnSnapshot();
    world.Await();
    CHECK(world.found);
    world.found.reset();
  }
  World never;
  never.limit = 30ms;
  never.Know(nullptr, {});
  Search search(never, never, "db");
  search.Begin();
  never.Await();
  CHECK(never.failed == CloseReason::kNotReady);
}

TEST_CASE("search: a silent endpoint has its share of the time, and the reason says how far it came") {
  test::Sidecars sidecars;
  const Silent silent;
  World world;
  world.limit = 200ms;
  world.Know(sidecars.IdentityOf(sidecars.web_leaf), {silent.address()});
  Search search(world, world, "db");
  search.Begin();
  world.Await();
  CHECK(world.failed == CloseReason::kHandshakeTimeout);

  World two;
  two.limit = 4'000ms;
  two.Know(sidecars.IdentityOf(sidecars.web_leaf), {silent.address(), net::SocketAddress::LocalOf(sidecars.in.get())});
  Search first(two, two, "db");
  first.Begin();
  two.Await();
  REQUIRE(two.found);
  CHECK(first.Left() > 0ms);
  CHECK(two.History(0).failures_in_a_row() == 1);
  two.found.reset();
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
  for (const auto& address : {Refusing(), silent.address(), net::SocketAddress::LocalOf(sidecars.in.get())}) {
    World world;
    world.limit = 50ms;
    world.Know(sidecars.IdentityOf(sidecars.web_leaf), {address});
    Owner owner;
    owner.search.emplace(world, owner, "db");
    owner.search->Begin();
    test::RunUntil(world.loop(), [&] { return owner.told; });
    CHECK(world.History(0).in_flight() == 0);
  }
}

}  // namespace
}  // namespace mooring::data
