// What one worker's searches are given of an upstream: the near ones first, ejected ones last, and
// who is due for a probe.
#include "proxy/data/upstream.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "proxy/data/balancing.h"
#include "proxy/data/round_robin.h"
#include "proxy/data/upstream_memory.h"

namespace mooring::data {
namespace {

using namespace std::chrono_literals;
using Outcome = LoadBalancer::Outcome;

// Listener counts what an Upstream tells.
class Listener final : public Upstream::Observer {
 public:
  void OnEjected(const UpstreamRules&, const Endpoint&) noexcept override { ++ejected; }
  void OnBack(const UpstreamRules&, const Endpoint&) noexcept override { ++back; }
  int ejected = 0, back = 0;
};

// World is an upstream with a memory, and two workers that go about it.
class World {
 public:
  explicit World(const std::vector<Nearness>& list) { Use(list); }

  void Use(const std::vector<Nearness>& list) {
    auto next = std::make_shared<UpstreamRules>();
    next->known = true;
    next->balance = Balance::kRoundRobin;
    for (const Nearness nearness : list) {
      Endpoint endpoint;
      endpoint.address = *net::SocketAddress::FromLiteral(
          net::Address::Tcp("10.0.0." + std::to_string(next->endpoints.size() + 1), 1));
      endpoint.nearness = nearness;
      next->endpoints.push_back(std::move(endpoint));
    }
    memory.histories.Attach(&next->endpoints);
    next->outliers = memory.outliers;
    next->kept = memory.kept;
    Use(std::move(next));
  }
  void Use(std::shared_ptr<UpstreamRules> next) {
    rules = std::move(next);
    for (std::optional<Upstream>* worker : {&one, &other}) {
      if (*worker) {
        (*worker)->Use(rules);
      } else {
        worker->emplace(MakeBalancer(*rules, 0), rules, 1, &heard);
      }
    }
  }
  // Change is a new version of the rules.
  std::shared_ptr<UpstreamRules> Change() const { return std::make_shared<UpstreamRules>(*rules); }

  // Give is what a search is given next, by index; -1: nothing.
  int Give(Choice& choice) {
    std::optional<Lease> lease;
    one->Pick(choice, now, &lease);
    return lease ? IndexOf(*lease) : -1;
  }
  std::set<int> GiveAll(bool last_resort = false) {
    Choice choice;
    choice.last_resort = last_resort;
    std::set<int> given;
    for (int i = Give(choice); i >= 0; i = Give(choice)) CHECK(given.insert(i).second);
    return given;
  }
  std::set<int> Firsts() {
    std::set<int> given;
    for (int i = 0; i < 40; ++i) {
      Choice choice;
      given.insert(Give(choice));
    }
    return given;
  }
  int IndexOf(const Lease& lease) const {
    for (std::size_t i = 0; i < rules->endpoints.size(); ++i) {
      if (rules->endpoints[i].history == lease.endpoint().history) return static_cast<int>(i);
    }
    return -1;
  }
  void Fail(std::size_t i, int times = 3) {
    for (int n = 0; n < times; ++n) {
      const Lease lease(rules->endpoints[i], 0);
      one->Report(lease, Outcome::kFailed, now - 1ms, now);
    }
  }

  net::MonotonicTime now{1h};
  UpstreamMemory memory;
  Listener heard;
  std::shared_ptr<UpstreamRules> rules;
  std::optional<Upstream> one, other;
};

constexpr Nearness kNode = Nearness::kNode, kZone = Nearness::kZone, kFar = Nearness::kFar;

TEST_CASE("upstream: what one worker has ejected no worker gives, until a probe has proven it") {
  World world({kFar, kFar, kFar});
  world.Fail(1);
  CHECK(world.heard.ejected == 1);
  CHECK(world.GiveAll() == std::set<int>{0, 2});
  Choice choice;
  std::optional<Lease> lease;
  for (int i = 0; i < 2; ++i) {
    world.other->Pick(choice, world.now, &lease);
    CHECK(world.IndexOf(*lease) != 1);
  }
  world.other->Pick(choice, world.now, &lease);
  CHECK(!lease);
  CHECK(!world.one->DueProbe(world.now));

  world.now = world.rules->endpoints[1].history->ejection().until();
  CHECK(world.GiveAll() == std::set<int>{0, 2});  // over, and not proven
  std::optional<Lease> probe = world.one->DueProbe(world.now);
  REQUIRE(probe);
  CHECK(world.IndexOf(*probe) == 1);
  CHECK(!world.other->DueProbe(world.now));  // one a second, of all workers
  const EndpointHistory& history = *world.rules->endpoints[1].history;
  CHECK(history.attempts() == 3);  // it is counted apart
  CHECK(history.in_flight() == 1);
  world.one->ReportProbe(*probe, Outcome::kProven, world.now, world.now + 3ms);
  CHECK(world.heard.back == 1);
  CHECK(world.GiveAll() == std::set<int>{0, 1, 2});
  CHECK(world.memory.outliers->probes_proven() == 1);
  CHECK(history.ejection().probes() == 1);
}

TEST_CASE("upstream: a probe that fails leaves its endpoint out, for the next step") {
  World world({kFar, kFar});
  world.Fail(0);
  const EndpointHistory& history = *world.rules->endpoints[0].history;
  world.now = history.ejection().until() + 1ms;
  {
    std::optional<Lease> probe = world.other->DueProbe(world.now);
    REQUIRE(probe);
    world.other->ReportProbe(*probe, Outcome::kFailed, world.now, world.now + 1ms);
  }
  CHECK(history.ejection().step() == 2);
  CHECK(history.ejection().until() >= world.now + 2s);
  CHECK(history.in_flight() == 0);
  CHECK(!world.one->DueProbe(world.now + 1s));
  CHECK(world.one->DueProbe(history.ejection().until()));
  CHECK(world.heard.ejected == 1);  // it was out all the time
}

TEST_CASE("upstream: a search of last resort is given those that are out, after all others") {
  World world({kFar, kFar, kFar});
  world.Fail(1);
  Choice choice;
  choice.last_resort = true;
  CHECK(world.Give(choice) != 1);
  CHECK(world.Give(choice) != 1);
  CHECK(world.Give(choice) == 1);
  CHECK(world.Give(choice) == -1);
}

TEST_CASE("upstream: if a list shrinks to what is out, all of it is given") {
  World world({kFar, kFar, kFar});
  world.Fail(0);
  world.Fail(1);
  CHECK(world.Firsts() == std::set<int>{2});
  world.Use({kFar, kFar});
  CHECK(Prefer(*world.rules).none_left);
  CHECK(world.GiveAll() == std::set<int>{0, 1});
  // and the first one that is proven is the only one again
  const Lease lease(world.rules->endpoints[1], 0);
  world.now += 10ms;
  world.one->Report(lease, Outcome::kProven, world.now - 5ms, world.now);
  CHECK(world.GiveAll() == std::set<int>{1});
}

TEST_CASE("upstream: once nobody is to be ejected, who was is given at once") {
  World world({kFar, kFar});
  world.Fail(0);
  CHECK(world.Firsts() == std::set<int>{1});
  auto next = world.Change();
  next->ejection.after = 0;
  world.Use(next);
  CHECK(world.Firsts() == std::set<int>{0, 1});
  CHECK(!world.one->DueProbe(world.now + 1h));
}

TEST_CASE("upstream: the nearest are given first, while 70 % of those listed are in service") {
  World world({kNode, kNode, kZone, kZone, kFar});
  CHECK(world.Firsts() == std::set<int>{0, 1});
  CHECK(world.GiveAll() == std::set<int>{0, 1, 2, 3, 4});
  world.Fail(0);  // half of the node's, three of four of the zone's
  CHECK(world.Firsts() == std::set<int>{1, 2, 3});
  world.Fail(2);
  CHECK(world.Firsts() == std::set<int>{1, 3, 4});
  world.now += 2s;
  for (int i = 0; i < 2; ++i) {
    std::optional<Lease> probe = world.one->DueProbe(world.now);
    REQUIRE(probe);
    world.one->ReportProbe(*probe, Outcome::kProven, world.now, world.now);
  }
  CHECK(world.Firsts() == std::set<int>{0, 1});
}

TEST_CASE("upstream: what the catalog lists and is not healthy counts against the near ones") {
  World world({kNode, kNode, kZone, kFar});
  auto next = world.Change();
  next->listed = {3, 1, 1};  // 2 of 3, 3 of 4
  world.Use(next);
  CHECK(world.Firsts() == std::set<int>{0, 1, 2});
  next = world.Change();
  next->listed = {3, 2, 1};  // 2 of 3, 3 of 5
  world.Use(next);
  CHECK(world.Firsts() == std::set<int>{0, 1, 2, 3});
  next = world.Change();
  next->prefer_near = 60;
  world.Use(next);
  CHECK(world.Firsts() == std::set<int>{0, 1});
  next = world.Change();
  next->prefer_near = 0;
  world.Use(next);
  CHECK(world.Firsts() == std::set<int>{0, 1, 2, 3});
}

TEST_CASE("upstream: another rule of balancing holds from the next choice on") {
  World world({kFar, kFar, kFar, kFar});
  CHECK(world.Firsts().size() == 4);
  auto next = world.Change();
  next->balance = Balance::kSticky;
  world.Use(next);
  CHECK(world.Firsts().size() == 1);
}

}  // namespace
}  // namespace mooring::data
