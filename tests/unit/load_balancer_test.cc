// Which endpoint a search is given: by the list, its weights, a start and what the search has been
// given before.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "proxy/data/round_robin.h"
#include "proxy/data/upstream.h"

namespace mooring::data {
namespace {

using namespace std::chrono_literals;

constexpr net::MonotonicTime kNow{1h};

Endpoint At(int number, int weight = 1, const std::string& id = "") {
  Endpoint endpoint;
  endpoint.address = *net::SocketAddress::FromLiteral(net::Address::Tcp(
      "10.0." + std::to_string(number / 256) + "." + std::to_string(number % 256), 1));
  endpoint.weight = weight;
  if (!id.empty())
    endpoint.instance = std::make_shared<const Instance>(Instance{id, "n", "dc1", {}});
  return endpoint;
}

std::vector<Endpoint> Weighing(const std::vector<int>& weights) {
  std::vector<Endpoint> endpoints;
  for (const int weight : weights)
    endpoints.push_back(At(static_cast<int>(endpoints.size()), weight));
  Histories().Attach(&endpoints);
  return endpoints;
}

// Round is a balancer over a list that it does not outlive.
struct Round {
  Round(std::vector<Endpoint> list, std::uint64_t start)
      : endpoints(std::move(list)), balancer(start) {
    balancer.Use(endpoints);
  }
  // Next is the index of what a search is given, -1 for nothing.
  int Next(Choice& choice) {
    const Endpoint* found = balancer.Pick(choice, {endpoints.size(), false}, kNow);
    return found == nullptr ? -1 : static_cast<int>(found - endpoints.data());
  }
  int First() {
    Choice choice;
    return Next(choice);
  }

  std::vector<Endpoint> endpoints;
  RoundRobin balancer;
};

TEST_CASE(
    "round robin: from any start, in as many turns as the weights sum up to each endpoint has "
    "exactly its share") {
  const std::vector<std::vector<int>> lists{
      {1},          {1, 1},   {1, 1, 1}, {10, 10, 10, 10}, {5, 1, 1},
      {1, 2, 3, 4}, {100, 1}, {6, 4, 2}, {65'535, 1, 7}};
  for (const std::vector<int>& weights : lists) {
    int sum = 0;
    for (const int weight : weights) sum += weight;
    for (const std::uint64_t start : {0ULL, 1ULL, 2ULL, 1'000'003ULL, ~0ULL}) {
      CAPTURE(start);
      CAPTURE(sum);
      Round round(Weighing(weights), start);
      for (int i = 0; i < 3; ++i) round.First();  // from within the round
      std::vector<int> given(weights.size());
      for (int i = 0; i < sum; ++i) ++given[static_cast<std::size_t>(round.First())];
      CHECK(given == weights);
    }
  }
}

TEST_CASE("round robin: the turns of an endpoint are spread over the round") {
  const auto most_in_a_row = [](const std::vector<int>& weights) {
    Round round(Weighing(weights), 0);
    int in_a_row = 0;
    int most = 0;
    for (int i = 0; i < 100; ++i) {
      in_a_row = round.First() == 0 ? in_a_row + 1 : 0;
      most = std::max(most, in_a_row);
    }
    return most;
  };
  CHECK(most_in_a_row({3, 2}) == 2);
  CHECK(most_in_a_row({7, 3}) <= 4);  // of ten, seven of which are its own
  CHECK(most_in_a_row({5, 1, 1}) <= 4);
  CHECK(most_in_a_row({50, 50}) == 1);
}

TEST_CASE(
    "round robin: 200 fresh balancers with random starts spread their first choice by weight") {
  std::mt19937 random(20'261'128);
  struct Row {
    std::vector<int> weights;
    std::vector<int> shares;  // of 200
  };
  for (const Row& row : {Row{{1, 1, 1}, {67, 67, 67}}, Row{{2, 1, 1}, {100, 50, 50}},
                         Row{{5, 1, 1}, {143, 29, 29}}}) {
    std::vector<int> given(row.weights.size());
    for (int i = 0; i < 200; ++i)
      ++given[static_cast<std::size_t>(Round(Weighing(row.weights), random()).First())];
    for (std::size_t i = 0; i < given.size(); ++i) {
      CAPTURE(i);
      CHECK(given[i] >= row.shares[i] - 25);
      CHECK(given[i] <= row.shares[i] + 25);
    }
  }
}

TEST_CASE("round robin: a list of one that grows is spread over, too") {
  std::mt19937 random(7);
  std::vector<int> given(3);
  for (int i = 0; i < 200; ++i) {
    Round round(Weighing({1}), random());
    CHECK(round.First() == 0);
    round.endpoints = Weighing({1, 1, 1});
    round.balancer.Use(round.endpoints);
    ++given[static_cast<std::size_t>(round.First())];
  }
  for (const int count : given) CHECK(count >= 40);
}

TEST_CASE("round robin: a search is given every endpoint once, and then none") {
  for (const std::vector<int>& weights :
       {std::vector<int>{1}, {1, 1, 1, 1, 1}, {65'535, 1, 1, 1}, {3, 1, 2}}) {
    for (std::uint64_t start = 0; start < 5; ++start) {
      Round round(Weighing(weights), start);
      Choice choice;
      std::set<int> given;
      for (std::size_t i = 0; i < weights.size(); ++i) given.insert(round.Next(choice));
      CHECK(given.size() == weights.size());
      CHECK(!given.contains(-1));
      CHECK(round.Next(choice) == -1);
      CHECK(round.Next(choice) == -1);
    }
  }
  Choice choice;
  CHECK(Round({}, 3).Next(choice) == -1);
}

TEST_CASE(
    "round robin: a search that goes on does not move the turns of the others, so half of them "
    "meet a dead one of two first") {
  Round round(Weighing({1, 1}), 0);
  int dead_first = 0;
  for (int i = 0; i < 10; ++i) {
    Choice choice;
    if (round.Next(choice) != 0) continue;
    ++dead_first;
    CHECK(round.Next(choice) == 1);
  }
  CHECK(dead_first == 5);
}

TEST_CASE("round robin: the turn of one that is out is nobody's, so the others share evenly") {
  Round round(Weighing({1, 1, 1}), 5);
  round.endpoints[1].history->ejection().Begin(1, kNow, kNow + 1s);
  std::vector<int> given(3);
  for (int i = 0; i < 300; ++i) ++given[static_cast<std::size_t>(round.First())];
  CHECK(given == std::vector<int>{150, 0, 150});
}

TEST_CASE("round robin: where the heavy one is out, the light ones take turns all the same") {
  Round round(Weighing({65'535, 1, 1}), 0);
  round.endpoints[0].history->ejection().Begin(1, kNow, kNow + 1s);
  std::vector<int> given(3);
  for (int i = 0; i < 300; ++i) ++given[static_cast<std::size_t>(round.First())];
  CHECK(given[0] == 0);
  CHECK(given[1] > 120);
  CHECK(given[2] > 120);
}

TEST_CASE(
    "round robin: an endpoint that the search has tried is not given again when the list is made "
    "anew") {
  Histories histories;
  std::vector<Endpoint> list{At(1), At(2)};
  histories.Attach(&list);
  RoundRobin balancer(0);
  balancer.Use(list);
  Choice choice;
  const net::SocketAddress first = balancer.Pick(choice, {list.size(), false}, kNow)->address;
  std::vector<Endpoint> next{At(3), At(2), At(1)};
  histories.Attach(&next);
  balancer.Use(next);
  std::set<std::string> given{first.Text()};
  for (int i = 0; i < 2; ++i)
    given.insert(balancer.Pick(choice, {next.size(), false}, kNow)->address.Text());
  CHECK(given.size() == 3);
  CHECK(balancer.Pick(choice, {next.size(), false}, kNow) == nullptr);
}

TEST_CASE(
    "round robin: 5,000 endpoints that all fail are tried once each, without a search through all "
    "of them for each") {
  Round round(Weighing(std::vector<int>(5'000, 1)), 11);
  Choice choice;
  std::set<int> given;
  for (int i = 0; i < 5'000; ++i) given.insert(round.Next(choice));
  CHECK(given.size() == 5'000);
  CHECK(round.Next(choice) == -1);
}

TEST_CASE("histories: one outlives a new list and dies with its endpoint") {
  Histories histories;
  std::vector<Endpoint> list{At(1, 1, "a"), At(2)};
  histories.Attach(&list);
  list[0].history->Failed(true, kNow);
  list[0].history->Failed(true, kNow);
  list[1].history->Proven(3ms, kNow);

  std::vector<Endpoint> next{At(2), At(1, 9, "a"), At(1, 1, "b")};
  histories.Attach(&next);
  CHECK(next[0].history == list[1].history);
  CHECK(next[0].history->connect_time() == 3ms);
  CHECK(next[1].history == list[0].history);  // its weight is no part of who it is
  CHECK(next[1].history->failures_in_a_row() == 2);
  CHECK(next[2].history != next[1].history);  // another instance at the same address
  CHECK(next[2].history->failures_in_a_row() == 0);

  const std::weak_ptr<EndpointHistory> gone = list[0].history;
  std::vector<Endpoint> without{At(2)};
  histories.Attach(&without);
  list.clear();
  next.clear();
  CHECK(gone.expired());
  std::vector<Endpoint> back{At(1, 1, "a")};
  histories.Attach(&back);
  CHECK(back[0].history->failures_in_a_row() == 0);
}

std::shared_ptr<UpstreamRules> RulesOf(std::vector<Endpoint> endpoints) {
  auto rules = std::make_shared<UpstreamRules>();
  rules->known = true;
  rules->endpoints = std::move(endpoints);
  return rules;
}

TEST_CASE(
    "upstream: what is known of an endpoint is there for every worker, and a lease counts until it "
    "ends") {
  const auto rules = RulesOf(Weighing({1}));
  Upstream one(std::make_unique<RoundRobin>(1), rules);
  Upstream other(std::make_unique<RoundRobin>(2), rules);
  const EndpointHistory& history = *rules->endpoints[0].history;
  Choice choice;
  std::optional<Lease> lease;
  one.Pick(choice, kNow, &lease);
  REQUIRE(lease);
  CHECK(history.in_flight() == 1);
  {
    Choice second;
    std::optional<Lease> another;
    other.Pick(second, kNow, &another);
    CHECK(history.in_flight() == 2);
    other.Report(*another, LoadBalancer::Outcome::kFailed, kNow - 1ms, kNow);
    CHECK(history.failures_in_a_row() == 1);
    CHECK(history.connect_time() == std::nullopt);
  }
  CHECK(history.in_flight() == 1);
  one.Report(*lease, LoadBalancer::Outcome::kProven, kNow - 2ms, kNow);
  CHECK(history.failures_in_a_row() == 0);
  CHECK(history.connect_time() == 2ms);
  one.Pick(choice, kNow, &lease);
  CHECK(!lease);
  CHECK(history.in_flight() == 0);
}

TEST_CASE("upstream: whom an endpoint must prove to be is what the newest rules say of it") {
  const auto named = [](const std::string& service) {
    return std::make_shared<const authz::ServiceId>(
        authz::ServiceId{"t", "", "default", "dc1", service});
  };
  Histories histories;
  const auto rules_of = [&](const std::vector<std::pair<int, std::string>>& endpoints,
                            const std::string& upstream) {
    std::vector<Endpoint> list;
    for (const auto& [number, service] : endpoints) {
      list.push_back(At(number));
      list.back().identity = named(service);
      // A gateway leads to whom it is asked for: identity and name go together.
      list.back().server_name = "v1." + service;
    }
    histories.Attach(&list);
    auto rules = RulesOf(std::move(list));
    rules->identity = named(upstream);
    return rules;
  };
  Upstream upstream(std::make_unique<RoundRobin>(0), rules_of({{1, "db"}}, "db"));
  Choice choice;
  std::optional<Lease> lease;
  upstream.Pick(choice, kNow, &lease);
  CHECK(upstream.ToProve(*lease).identity->service == "db");
  CHECK(upstream.ToProve(*lease).server_name == "v1.db");
  upstream.Use(rules_of({{2, "db"}, {1, "db-new"}}, "db"));
  CHECK(upstream.ToProve(*lease).identity->service == "db-new");
  CHECK(upstream.ToProve(*lease).server_name == "v1.db-new");
  // Connections have failed over to others: it is still whom it was dialled as.
  upstream.Use(rules_of({{2, "spare"}}, "spare"));
  CHECK(upstream.ToProve(*lease).identity->service == "db");
  CHECK(upstream.ToProve(*lease).server_name == "v1.db");
}

TEST_CASE("threads: workers write one endpoint's history at once, and nothing is lost") {
  const auto rules = RulesOf(Weighing({1, 1}));
  std::vector<std::thread> workers;
  for (std::uint64_t worker = 0; worker < 4; ++worker) {
    workers.emplace_back([&rules, worker] {
      Upstream upstream(std::make_unique<RoundRobin>(worker), rules);
      for (int i = 0; i < 2'000; ++i) {
        Choice choice;
        std::optional<Lease> lease;
        upstream.Pick(choice, kNow, &lease);
        upstream.Report(*lease, LoadBalancer::Outcome::kFailed, kNow - 1us, kNow);
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  std::int64_t failures = 0;
  for (const Endpoint& endpoint : rules->endpoints) {
    CHECK(endpoint.history->in_flight() == 0);
    failures += endpoint.history->failures_in_a_row();
  }
  CHECK(failures == 8'000);
}

}  // namespace
}  // namespace mooring::data
