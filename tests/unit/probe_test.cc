// Attempts that no client waits for: over real sockets, with a host made for the test.
#include "proxy/data/probe.h"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/data/outliers.h"
#include "proxy/data/prober.h"
#include "proxy/data/round_robin.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/shortage_fixture.h"
#include "tests/unit/test_clock.h"

namespace mooring::data {
namespace {

using namespace std::chrono_literals;

// World is a host that knows db at these addresses.
class World final : public test::FakeHost {
 public:
  World(const std::shared_ptr<const Identity>& identity,
        const std::vector<net::SocketAddress>& addresses, net::milliseconds probe_interval = 0ms) {
    auto rules = std::make_shared<UpstreamRules>();
    rules->name = "db";
    rules->known = true;
    rules->identity = std::make_shared<const authz::ServiceId>(tls::ends::Service("db"));
    rules->probe_interval = probe_interval;
    rules->outliers = std::make_shared<Outliers>();
    rules->endpoints = test::EndpointsAt(addresses, rules->identity);
    histories_.Attach(&rules->endpoints);
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->identity = identity;
    snapshot->upstreams["db"] = rules;
    Know(std::move(snapshot));
    upstream = std::make_shared<Upstream>(std::make_unique<RoundRobin>(0), rules);
  }
  std::shared_ptr<Upstream> UpstreamOf(const std::string&) override { return upstream; }
  EndpointHistory& History(std::size_t endpoint) {
    return *upstream->rules()->endpoints[endpoint].history;
  }
  // Eject has the first endpoint ejected, and its time pass.
  void Eject(test::Clock& clock) {
    const UpstreamRules& rules = *upstream->rules();
    const net::MonotonicTime now = loop().now();
    for (unsigned i = 0; i < rules.ejection.after; ++i)
      rules.outliers->Failed(rules, History(0), {now, now}, random_);
    REQUIRE(History(0).ejection().out());
    CHECK_FALSE(probes().BeginDue(upstream));
    clock.Skip(loop(), 2'000ms);
  }

  std::shared_ptr<Upstream> upstream;

 private:
  Histories histories_;
  Random random_{18};
};

net::SocketAddress Refusing() {
  auto opened = net::Listen(test::Loopback());
  REQUIRE(opened);
  return net::SocketAddress::LocalOf(opened->get());
}

TEST_CASE(
    "probe: an ejected endpoint that proves itself is back, and its sidecar has seen a clean end "
    "without a byte") {
  test::Sidecars sidecars;
  test::Clock clock;
  World world(sidecars.IdentityOf(sidecars.web_leaf),
              {net::SocketAddress::LocalOf(sidecars.in.get()), Refusing()});
  world.Eject(clock);
  CHECK(world.probes().BeginDue(world.upstream));
  CHECK_FALSE(world.probes().BeginDue(world.upstream));  // one a second
  test::RunUntil(world.loop(), [&] { return world.History(0).in_flight() == 0; });
  CHECK_FALSE(world.History(0).ejection().out());
  CHECK(world.History(0).ejection().probes() == 1);
  CHECK(world.History(0).attempts() == 0);
  const DirectionStats& seen = sidecars.service.stats().inbound;
  CHECK(test::Within([&] { return seen.closed[CloseReason::kDone].value() == 1; }));
  CHECK(seen.reached.value() == 1);
  CHECK(seen.bytes_in.value() == 0);
}

TEST_CASE("probe: one that fails ejects once more, and no attempt of a client is counted") {
  test::Sidecars sidecars;
  test::Clock clock;
  World world(sidecars.IdentityOf(sidecars.web_leaf), {Refusing(), Refusing()});
  world.Eject(clock);
  const std::int64_t failures = world.History(0).failures();
  CHECK(world.probes().BeginDue(world.upstream));
  test::RunUntil(world.loop(), [&] { return world.History(0).in_flight() == 0; });
  CHECK(world.History(0).ejection().out());
  CHECK(world.History(0).ejection().count() == 2);
  CHECK(world.History(0).ejection().probes_failed() == 1);
  CHECK(world.History(0).failures() == failures);
  CHECK(world.History(0).attempts() == 0);
  CHECK(world.said == std::vector{CloseReason::kConnectRefused});
  CHECK(world.counters(ListenerKind::kUpstream)
            .attempts_failed[CloseReason::kConnectRefused]
            .value() == 0);
}

TEST_CASE("probe: where early_close is set, who ends it before has failed") {
  test::Sidecars sidecars;
  test::Clock clock;
  World world(sidecars.IdentityOf(sidecars.web_leaf),
              {net::SocketAddress::LocalOf(sidecars.in.get()), Refusing()});
  auto rules = std::make_shared<UpstreamRules>(*world.upstream->rules());
  rules->early_close = 100ms;
  world.upstream->Use(rules);
  bool good = true;
  SUBCASE("its app is there") {}
  SUBCASE("its app is not") {
    good = false;
    sidecars.TellService(Refusing());
  }
  world.Eject(clock);
  CHECK(world.probes().BeginDue(world.upstream));
  test::RunUntil(world.loop(), [&] { return world.History(0).in_flight() == 0; });
  CHECK(world.History(0).ejection().out() != good);
  CHECK(world.History(0).ejection().probes_failed() == (good ? 0 : 1));
}

TEST_CASE("probes: so many are under way at most, and none is after their end") {
  test::Sidecars sidecars;
  auto silent = net::Listen(test::Loopback());
  REQUIRE(silent);
  test::Clock clock;
  World world(sidecars.IdentityOf(sidecars.web_leaf),
              std::vector(Probes::kMost + 1, net::SocketAddress::LocalOf(silent->get())), 1'000ms);
  // They are one endpoint, which is due once a second.
  for (std::size_t i = 0; i < Probes::kMost; ++i) {
    CHECK(world.probes().BeginRegular(world.upstream));
    CHECK_FALSE(world.probes().BeginRegular(world.upstream));
    clock.Skip(world.loop(), 1'000ms);
  }
  CHECK(world.History(0).in_flight() == static_cast<std::int64_t>(Probes::kMost));
  CHECK_FALSE(world.probes().BeginRegular(world.upstream));
  world.probes().End();
  CHECK(world.History(0).in_flight() == 0);
}

TEST_CASE(
    "prober: each endpoint is tried once in probe_interval, whoever looks, and is ejected if it "
    "fails too often") {
  test::Sidecars sidecars;
  test::Clock clock;
  World world(sidecars.IdentityOf(sidecars.web_leaf), {Refusing(), Refusing()}, 10'000ms);
  Prober one(world, world.probes());
  Prober other(world, world.probes());
  one.Follow();
  other.Follow();
  const net::MonotonicTime began = world.loop().now();
  const auto probes = [&](std::size_t endpoint) {
    return world.History(endpoint).ejection().probes();
  };
  clock.RunUntil(world.loop(), [&] { return probes(0) >= 3 && probes(1) >= 3; });
  CHECK(probes(0) == 3);
  CHECK(probes(1) == 3);
  CHECK(world.loop().now() - began >= 20'000ms);
  CHECK(world.loop().now() - began < 21'000ms);
  clock.RunUntil(world.loop(), [&] { return world.History(0).in_flight() == 0; });
  // The last one never is.
  CHECK(world.History(0).ejection().out() != world.History(1).ejection().out());
}

TEST_CASE("prober: where no upstream asks for it nothing runs") {
  test::Sidecars sidecars;
  World world(sidecars.IdentityOf(sidecars.web_leaf), {Refusing()});
  Prober prober(world, world.probes());
  prober.Follow();
  CHECK_FALSE(prober.running());
}

}  // namespace
}  // namespace mooring::data
