// The search for an instance, without a connection around it: over real sockets, with a host made
// for the test.
#include "proxy/data/search.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/data/retry_budget.h"
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
    said_at.push_back(At());
    FakeHost::StrangerLog(reason, level, message, who, fields);
  }

  // Know gives the host a snapshot: an identity, and db at these addresses.
  void Know(const std::shared_ptr<const Identity>& identity,
            const std::vector<net::SocketAddress>& addresses) {
    auto rules = std::make_shared<UpstreamRules>();
    rules->known = true;
    rules->connect_timeout = limit;
    rules->attempt_delay = attempt_delay;
    rules->attempts = attempts;
    rules->retries = retries;
    rules->identity = std::make_shared<const authz::ServiceId>(tls::ends::Service("db"));
    rules->endpoints = test::EndpointsAt(addresses, rules->identity);
    histories.Attach(&rules->endpoints);
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->identity = identity;
    snapshot->roots_stale = roots_stale;
    snapshot->early_until = early_until;
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

  // At is how long this world has been there.
  net::milliseconds At() { return std::chrono::round<net::milliseconds>(loop().now() - made_at_); }

  net::milliseconds limit{5'000};
  net::milliseconds attempt_delay{250};
  std::size_t attempts = 10;
  std::shared_ptr<RetryBudget> retries;
  bool roots_stale = false;
  net::MonotonicTime early_until{};
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
  // Taken is the connection that waits there.
  net::UniqueFd Taken() const {
    pollfd look{.fd = fd.get(), .events = POLLIN, .revents = 0};
    REQUIRE(poll(&look, 1, 10'000) == 1);
    return net::UniqueFd(accept4(fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  }
  net::UniqueFd fd;
};

// Instance is a Silent one that proves who it is when the test says so. Its loop outlives it.
class Instance final : public Silent, public net::StreamObserver {
 public:
  void Answer(net::Loop& loop, const std::shared_ptr<const Identity>& identity) {
    peer_ = std::make_unique<net::Stream>(loop, Taken(), this);
    peer_->StartTls(tls::Session::Accept(identity->server));
    peer_->WantRead(true);
  }

 private:
  void OnReadable(net::Stream& stream) override { (void)stream.Handshake(true); }
  void OnDrained(net::Stream&) override {}
  void OnBroken(net::Stream&) override {}

  std::unique_ptr<net::Stream> peer_;
};

// IsReset: whoever had connected has ended it by a reset.
bool IsReset(const net::UniqueFd& peer) {
  char byte = 0;
  while (recv(peer.get(), &byte, 1, 0) > 0) {
  }
  return errno == ECONNRESET;
}

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
    const Search::Found used = search->Conclude();
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
    "search: just after the start it waits longer, and attempts have all of their time then") {
  test::Sidecars sidecars;
  const Silent silent;
  test::Clock clock;
  World world;
  world.early_until = world.loop().now() + 30'000ms;
  world.Know(nullptr, {});
  Search search(world, world, "db");
  search.Begin();
  clock.Skip(world.loop(), 20'000ms);
  CHECK(!world.failed);
  world.Know(sidecars.IdentityOf(sidecars.web_leaf), {silent.address()});
  search.OnSnapshot();
  world.Await(clock);
  CHECK(world.failed == CloseReason::kHandshakeTimeout);
  CHECK(World::About(world.said_at.back(), 25'000ms));

  World never;
  never.early_until = never.loop().now() + 30'000ms;
  never.Know(nullptr, {});
  Search in_vain(never, never, "db");
  in_vain.Begin();
  never.Await(clock);
  CHECK(never.failed == CloseReason::kNotReady);
  CHECK(World::About(never.said_at.back(), 30'000ms));
  // Later connections wait for connect_timeout, as ever.
  never.failed.reset();
  Search later(never, never, "db");
  later.Begin();
  never.Await(clock);
  CHECK(World::About(never.said_at.back(), 35'000ms));
}

TEST_CASE("search: one silent endpoint has all of the time, and the reason says how far it came") {
  test::Sidecars sidecars;
  const Silent silent;
  test::Clock clock;
  World alone;
  alone.Know(sidecars.IdentityOf(sidecars.web_leaf), {silent.address()});
  Search search(alone, alone, "db");
  search.Begin();
  alone.Await(clock);
  CHECK(alone.failed == CloseReason::kHandshakeTimeout);
  REQUIRE(alone.said_at.size() == 1);
  CHECK(World::About(alone.said_at[0], 5'000ms));
}

TEST_CASE(
    "search: the next attempt begins beside one that is silent after attempt_delay, and all have "
    "until the deadline") {
  test::Sidecars sidecars;
  const std::vector<Silent> silent(3);
  test::Clock clock;
  World world;
  world.limit = 30'000ms;
  world.attempt_delay = 4'000ms;
  world.Know(sidecars.IdentityOf(sidecars.web_leaf),
             {silent[0].address(), silent[1].address(), silent[2].address()});
  Search search(world, world, "db");
  search.Begin();
  CHECK(world.History(0).in_flight() == 1);
  for (const std::size_t next : {1U, 2U}) {
    clock.RunUntil(world.loop(), [&] { return world.History(next).in_flight() == 1; });
    CHECK(World::About(world.At(), static_cast<int>(next) * 4'000ms));
  }
  CHECK(world.said.empty());
  world.Await(clock);
  CHECK(world.failed == CloseReason::kConnectFailed);
  CHECK(world.said == std::vector(3, CloseReason::kHandshakeTimeout));
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(World::About(world.said_at[i], 30'000ms));
    CHECK(world.History(i).failures_in_a_row() == 1);
    CHECK(world.History(i).in_flight() == 0);
  }
}

TEST_CASE(
    "search: with the retry budget used up each attempt has its share of the time, and nothing "
    "runs beside it") {
  test::Sidecars sidecars;
  const std::vector<Silent> silent(3);
  test::Clock clock;
  World world;
  world.limit = 30'000ms;
  world.retries = std::make_shared<RetryBudget>();
  while (world.retries->Take(world.loop().now())) {
  }
  SUBCASE("each of several") {
    world.Know(sidecars.IdentityOf(sidecars.web_leaf),
               {silent[0].address(), silent[1].address(), silent[2].address()});
    Search search(world, world, "db");
    search.Begin();
    for (std::size_t i = 0; i < 3; ++i) {
      clock.RunUntil(world.loop(), [&] { return world.said.size() == i + 1; });
      CHECK(World::About(world.said_at[i], static_cast<int>(i + 1) * 10'000ms));
      // what has come in meanwhile would be enough for many
      while (world.retries->Take(world.loop().now())) {
      }
    }
    CHECK(world.failed == CloseReason::kConnectFailed);
  }
  SUBCASE("the only one has all of it") {
    world.Know(sidecars.IdentityOf(sidecars.web_leaf), {silent[0].address()});
    Search search(world, world, "db");
    search.Begin();
    world.Await(clock);
    CHECK(world.failed == CloseReason::kHandshakeTimeout);
    CHECK(World::About(world.said_at[0], 30'000ms));
  }
}

TEST_CASE("search: as many endpoints are tried as may be") {
  test::Sidecars sidecars;
  World world;
  world.attempts = 2;
  world.Know(sidecars.IdentityOf(sidecars.web_leaf), {Refusing(), Refusing(), Refusing()});
  Search search(world, world, "db");
  search.Begin();
  world.Await();
  CHECK(world.failed == CloseReason::kConnectFailed);
  CHECK(world.said == std::vector(2, CloseReason::kConnectRefused));
  CHECK(world.History(2).attempts() == 0);
}

TEST_CASE(
    "search: whoever is overtaken by an instance that is quick has failed, and sees a reset") {
  test::Sidecars sidecars;
  const auto identity = sidecars.IdentityOf(sidecars.web_leaf);
  const Silent silent;
  test::Clock clock;
  World world;
  Instance quick;
  world.Know(identity, {silent.address(), quick.address()});
  Search search(world, world, "db");
  search.Begin();
  const net::UniqueFd peer = silent.Taken();
  clock.RunUntil(world.loop(), [&] { return world.History(1).in_flight() == 1; });
  CHECK(World::About(world.At(), 250ms));
  quick.Answer(world.loop(), sidecars.IdentityOf(sidecars.db_leaf));
  clock.RunUntil(world.loop(), [&] { return world.found != nullptr; });
  CHECK(World::About(world.At(), 250ms));
  CHECK(world.said == std::vector{CloseReason::kHandshakeTimeout});
  CHECK(world.History(0).failures_in_a_row() == 1);
  CHECK(world.History(0).in_flight() == 0);
  CHECK(IsReset(peer));
  Record record;
  search.Describe(&record);
  CHECK(record.attempts == 2);
  CHECK(record.endpoint == quick.address());
  CHECK(search.TakeFailure().empty());
  world.found.reset();
}

TEST_CASE("search: nobody has failed who is overtaken by an instance that was slow, too") {
  test::Sidecars sidecars;
  const auto identity = sidecars.IdentityOf(sidecars.web_leaf);
  const Silent silent;
  test::Clock clock;
  World world;
  Instance slow;
  world.Know(identity, {silent.address(), slow.address()});
  Search search(world, world, "db");
  search.Begin();
  clock.RunUntil(world.loop(), [&] { return world.History(1).in_flight() == 1; });
  clock.Skip(world.loop(), 251ms);
  slow.Answer(world.loop(), sidecars.IdentityOf(sidecars.db_leaf));
  clock.RunUntil(world.loop(), [&] { return world.found != nullptr; });
  CHECK(world.said.empty());
  CHECK(world.History(0).failures() == 0);
  CHECK(world.History(0).in_flight() == 0);
  world.found.reset();
}

TEST_CASE("search: the first attempt may win after all, and nobody has failed then") {
  test::Sidecars sidecars;
  const auto identity = sidecars.IdentityOf(sidecars.web_leaf);
  const Silent silent;
  test::Clock clock;
  World world;
  Instance slow;
  world.Know(identity, {slow.address(), silent.address()});
  Search search(world, world, "db");
  search.Begin();
  clock.RunUntil(world.loop(), [&] { return world.History(1).in_flight() == 1; });
  const net::UniqueFd peer = silent.Taken();
  slow.Answer(world.loop(), sidecars.IdentityOf(sidecars.db_leaf));
  clock.RunUntil(world.loop(), [&] { return world.found != nullptr; });
  CHECK(world.said.empty());
  CHECK(world.History(1).failures() == 0);
  CHECK(world.History(1).in_flight() == 0);
  CHECK(IsReset(peer));
  Record record;
  search.Describe(&record);
  CHECK(record.endpoint == slow.address());
  CHECK(*record.connect_took + *record.handshake_took >= 249ms);
  world.found.reset();
}

TEST_CASE(
    "search: where an earlier attempt fails, the newest goes on; where the newest does, the next "
    "begins at once") {
  test::Sidecars sidecars;
  const Silent first;
  const Silent second;
  const Silent third;
  test::Clock clock;
  World world;
  world.limit = 30'000ms;
  world.attempt_delay = 4'000ms;
  world.Know(sidecars.IdentityOf(sidecars.web_leaf),
             {first.address(), second.address(), third.address()});
  Search search(world, world, "db");
  search.Begin();
  net::UniqueFd one = first.Taken();
  clock.RunUntil(world.loop(), [&] { return world.History(1).in_flight() == 1; });
  net::UniqueFd two = second.Taken();
  one.Reset();
  clock.RunUntil(world.loop(), [&] { return world.said.size() == 1; });
  CHECK(world.History(0).failures_in_a_row() == 1);
  CHECK(world.History(2).in_flight() == 0);
  two.Reset();
  clock.RunUntil(world.loop(), [&] { return world.History(2).in_flight() == 1; });
  CHECK(World::About(world.At(), 4'000ms));
  CHECK(world.said == std::vector(2, CloseReason::kHandshakeAborted));
}

TEST_CASE("search: an instance that denies us is followed by one other, and is not to blame") {
  test::Sidecars sidecars;
  const std::vector<Silent> denying(3);
  World world;
  world.Know(sidecars.IdentityOf(sidecars.web_leaf),
             {denying[0].address(), denying[1].address(), denying[2].address()});
  Search search(world, world, "db");
  search.Begin();
  constexpr auto kAccessDenied = tls::AlertInClear(tls::Alert::kAccessDenied);
  for (const std::size_t each : {0U, 1U}) {
    const net::UniqueFd peer = denying[each].Taken();
    REQUIRE(send(peer.get(), kAccessDenied.data(), kAccessDenied.size(), 0) > 0);
    test::RunUntil(world.loop(), [&] { return world.said.size() == each + 1; });
  }
  CHECK(world.failed == CloseReason::kDenied);
  CHECK(world.said == std::vector(2, CloseReason::kDenied));
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(world.History(i).failures() == 0);
    CHECK(world.History(i).in_flight() == 0);
  }
  CHECK(world.History(2).attempts() == 0);
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
