// Who talks to whom: one flow a pair of services, bounded, forgotten when idle.
#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "proxy/data/exchanges.h"
#include "proxy/data/traffic.h"

namespace mooring {
namespace {

using data::CloseReason;
using data::Flow;
using data::FlowKey;
using data::ListenerKind;
using data::Traffic;
using namespace std::chrono_literals;

FlowKey From(std::string source) {
  return {ListenerKind::kPublic, std::move(source), "payment", "dc1"};
}

struct World {
  std::shared_ptr<Flow> Enter(const FlowKey& key) { return traffic.Enter(key, now); }
  void Leave(Flow& flow) { traffic.Leave(flow, CloseReason::kDone, now); }
  Traffic traffic;
  net::MonotonicTime now{1h};
};

TEST_CASE(
    "traffic: connections of one pair count in one flow, each pair and direction in its own") {
  World world;
  const auto first = world.Enter(From("web"));
  CHECK(world.Enter(From("web")) == first);
  CHECK(world.Enter(From("api")) != first);
  CHECK(world.Enter({ListenerKind::kUpstream, "web", "payment", "dc1"}) != first);
  CHECK(first->opened.value() == 2);
  CHECK(first->open.value() == 2);
  world.Leave(*first);
  CHECK(first->open.value() == 1);
  CHECK(first->closed[static_cast<std::size_t>(CloseReason::kDone)].value() == 1);
  CHECK(world.traffic.Flows(world.now).size() == 3);
}

TEST_CASE("traffic: beyond the cap peers that are new count as other, each direction by itself") {
  World world;
  for (std::size_t i = 0; i < 5'000; ++i) (void)world.Enter(From("peer-" + std::to_string(i)));
  CHECK(world.traffic.Flows(world.now).size() == Traffic::kMostFlows + 1);
  const auto other = world.Enter(From("one-more"));
  CHECK(other->key.source == Traffic::kOther);
  CHECK(other->key.destination == "payment");
  CHECK(other->opened.value() == 5'000 - static_cast<std::int64_t>(Traffic::kMostFlows) + 1);
  CHECK(world.Enter(From("peer-3"))->key.source == "peer-3");
  CHECK(world.Enter({ListenerKind::kUpstream, "payment", "db", "dc1"})->key.destination == "db");
}

TEST_CASE("traffic: what has had no connection for ten minutes is forgotten, and makes room") {
  World world;
  const auto busy = world.Enter(From("busy"));
  const auto idle = world.Enter(From("idle"));
  world.Leave(*idle);
  world.now += Traffic::kIdle - 1s;
  CHECK(world.traffic.Flows(world.now).size() == 2);
  world.now += 1s;
  const auto left = world.traffic.Flows(world.now);
  REQUIRE(left.size() == 1);
  CHECK(left.front()->key.source == "busy");

  for (std::size_t i = 1; i < Traffic::kMostFlows; ++i)
    world.Leave(*world.Enter(From("peer-" + std::to_string(i))));
  CHECK(world.Enter(From("late"))->key.source == Traffic::kOther);
  world.now += Traffic::kIdle;
  CHECK(world.Enter(From("later"))->key.source == "later");
  CHECK(world.traffic.Flows(world.now).size() == 3);  // busy, later, and other, which is open
}

TEST_CASE("traffic: a service that is called other takes nobody's place") {
  World world;
  for (int i = 0; i < 3; ++i) {
    world.Leave(*world.Enter(From(Traffic::kOther)));
    world.now += Traffic::kIdle;
    CHECK(world.traffic.Flows(world.now).empty());
  }
  for (std::size_t i = 0; i < Traffic::kMostFlows; ++i)
    CHECK(world.Enter(From("peer-" + std::to_string(i)))->key.source != Traffic::kOther);
}

TEST_CASE("traffic: handshakes are told apart by what they have settled") {
  World world;
  const tls::Facts facts{"TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519", false};
  world.traffic.NoteHandshake(ListenerKind::kPublic, true, facts);
  world.traffic.NoteHandshake(ListenerKind::kPublic, true, facts);
  world.traffic.NoteHandshake(ListenerKind::kPublic, false, {});
  const auto seen = world.traffic.Handshakes();
  CHECK(seen.size() == 2);
  CHECK(seen.at({ListenerKind::kPublic, true, "TLSv1.3", "X25519", false}) == 2);
  CHECK(seen.at({ListenerKind::kPublic, false, "", "", false}) == 1);
}

TEST_CASE("threads: traffic: what several threads count at once is all there") {
  constexpr int kThreads = 4;
  constexpr int kEach = 2'000;
  World world;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        const auto flow = world.Enter(From("peer-" + std::to_string(i % 7)));
        flow->bytes_in.Add(3);
        flow->connect.Add(data::microseconds(700));
        world.Leave(*flow);
      }
    });
  }
  for (int i = 0; i < 50; ++i) (void)world.traffic.Flows(world.now);
  for (std::thread& thread : threads) thread.join();
  std::int64_t opened = 0, bytes = 0, connects = 0;
  for (const auto& flow : world.traffic.Flows(world.now)) {
    opened += flow->opened.value();
    bytes += flow->bytes_in.value();
    connects += flow->connect.count(1);
    CHECK(flow->open.value() == 0);
  }
  CHECK(opened == kThreads * kEach);
  CHECK(bytes == 3 * kThreads * kEach);
  CHECK(connects == kThreads * kEach);
}

TEST_CASE("histogram: a bound is inclusive, what is above all has a place of its own") {
  data::Histogram histogram{data::kMoments};
  histogram.Add(500us);
  histogram.Add(501us);
  histogram.Add(1h);
  CHECK(histogram.count(0) == 1);
  CHECK(histogram.count(1) == 1);
  CHECK(histogram.count(histogram.bounds().size()) == 1);
  CHECK(histogram.sum() == 1h + 1'001us);
}

TEST_CASE("exchanges: a request is the client after the server, an answer the server after it") {
  World world;
  const auto flow = world.Enter(From("web"));
  data::Exchanges exchanges;
  exchanges.Count(flow, world.now);
  const net::MonotonicTime begun = world.now;
  // (who, first, the last bytes before, now)
  exchanges.Turned(true, true, begun, begun + 4ms);
  exchanges.Turned(false, false, begun + 5ms, begun + 25ms);
  exchanges.Turned(true, false, begun + 30ms, begun + 60ms);
  exchanges.Turned(false, false, begun + 60ms, begun + 61ms);
  CHECK(flow->requests.value() == 2);
  CHECK(flow->answer.sum() == 21ms);
  CHECK(flow->first_byte.sum() == 4ms);
}

TEST_CASE("histogram: a share of all lies below an estimate within a bucket") {
  data::Histogram histogram(data::kMoments);
  CHECK_FALSE(histogram.Quantile(0.5));
  for (int i = 0; i < 100; ++i) histogram.Add(i < 90 ? 700us : 40ms);
  // 500 to 1,000 us, 50 of the 90 that are there; 25 to 50 ms, 9 of the 10
  CHECK(*histogram.Quantile(0.5) == 777us);
  CHECK(*histogram.Quantile(0.99) == 47'500us);
  histogram.Add(std::chrono::minutes(1));
  CHECK(*histogram.Quantile(1) == 10s);
}

TEST_CASE("exchanges: a server that speaks first has answered nothing") {
  World world;
  const auto flow = world.Enter(From("web"));
  data::Exchanges exchanges;
  exchanges.Count(flow, world.now);
  exchanges.Turned(false, true, world.now, world.now + 2ms);
  CHECK(flow->requests.value() == 0);
  CHECK(flow->answer.sum() == 0us);
  CHECK(flow->first_byte.sum() == 2ms);
}

}  // namespace
}  // namespace mooring
