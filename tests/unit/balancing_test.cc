// By which rule an endpoint is chosen: weights, loads, times and chance, each as an argument.
#include "proxy/data/balancing.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "proxy/data/peak_average.h"
#include "proxy/data/sticky.h"

namespace mooring::data {
namespace {

using namespace std::chrono_literals;

constexpr net::MonotonicTime kNow{1h};
constexpr Balance kAll[] = {Balance::kLeastConnections, Balance::kLeastTime, Balance::kRoundRobin,
                            Balance::kRandom, Balance::kSticky};

// Field is a list of endpoints, and a balancer that goes by one rule.
class Field {
 public:
  Field(Balance balance, const std::vector<int>& weights, std::uint64_t seed = 1) {
    for (const int weight : weights) {
      const std::size_t i = rules.endpoints.size();
      Endpoint endpoint;
      endpoint.address = *net::SocketAddress::FromLiteral(
          net::Address::Tcp("10.0." + std::to_string(i / 256) + "." + std::to_string(i % 256), 1));
      endpoint.weight = weight;
      rules.endpoints.push_back(std::move(endpoint));
    }
    Histories().Attach(&rules.endpoints);
    rules.balance = balance;
    rules.kept = std::make_shared<Kept>();
    balancer = MakeBalancer(rules, seed);
    balancer->Use(rules.endpoints);
  }

  EndpointHistory& at(std::size_t i) { return *rules.endpoints[i].history; }
  // Carry has an endpoint carry so many connections more.
  void Carry(std::size_t i, int connections) {
    for (int n = 0; n < connections; ++n) at(i).Begun();
  }
  void Eject(std::size_t i) { at(i).ejection().Begin(1, kNow, kNow + 1s); }
  // Next is the index of what a search is given, -1 for nothing.
  int Next(Choice& choice, bool ejected_too = false) {
    return Next(choice, {rules.endpoints.size(), ejected_too});
  }
  int Next(Choice& choice, const Among& among) {
    const Endpoint* found = balancer->Pick(choice, among, now);
    return found == nullptr ? -1 : static_cast<int>(found - rules.endpoints.data());
  }
  // Spread is how often each is the first choice of so many searches.
  std::vector<int> Spread(int searches) {
    std::vector<int> given(rules.endpoints.size());
    for (int i = 0; i < searches; ++i) {
      Choice choice;
      ++given[static_cast<std::size_t>(Next(choice))];
    }
    return given;
  }

  net::MonotonicTime now = kNow;
  UpstreamRules rules;
  std::unique_ptr<LoadBalancer> balancer;
};

TEST_CASE("balancing: by any rule a search is given each endpoint once, and then none") {
  for (const Balance balance : kAll) {
    for (const std::vector<int>& weights :
         {std::vector<int>{1}, {1, 1}, {1, 1, 1, 1, 1}, {65'535, 1, 1, 1}, {3, 1, 2}}) {
      for (std::uint64_t seed = 0; seed < 20; ++seed) {
        Field field(balance, weights, seed);
        Choice choice;
        std::set<int> given;
        for (std::size_t i = 0; i < weights.size(); ++i) given.insert(field.Next(choice));
        CHECK(given.size() == weights.size());
        CHECK_FALSE(given.contains(-1));
        CHECK(field.Next(choice) == -1);
        CHECK(field.Next(choice, /*ejected_too=*/true) == -1);
      }
    }
    Field none(balance, {});
    Choice choice;
    CHECK(none.Next(choice) == -1);
  }
}

TEST_CASE("balancing: by any rule one that is out is given only where those are wanted, too") {
  for (const Balance balance : kAll) {
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
      Field field(balance, {5, 1, 1}, seed);
      field.Eject(0);
      Choice choice;
      std::set<int> given{field.Next(choice), field.Next(choice)};
      CHECK(given == std::set<int>{1, 2});
      CHECK(field.Next(choice) == -1);
      CHECK(field.Next(choice, /*ejected_too=*/true) == 0);
    }
  }
}

TEST_CASE("balancing: by any rule the near ones are given first, and then the others") {
  for (const Balance balance : kAll) {
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
      Field field(balance, {1, 1, 5, 9}, seed);
      Choice choice;
      CHECK(std::set<int>{field.Next(choice, {2, false}), field.Next(choice, {2, false})} ==
            std::set<int>{0, 1});
      CHECK(field.Next(choice, {2, false}) == -1);
      CHECK(std::set<int>{field.Next(choice), field.Next(choice)} == std::set<int>{2, 3});
    }
  }
}

TEST_CASE("balancing: what is idle is chosen by weight, at random and by connections") {
  for (const Balance balance : {Balance::kRandom, Balance::kLeastConnections}) {
    for (const std::vector<int>& weights :
         {std::vector<int>{1, 1, 1}, {2, 1, 1}, {5, 1}, {65'535, 65'535, 65'535}}) {
      Field field(balance, weights);
      constexpr int kSearches = 30'000;
      const std::vector<int> given = field.Spread(kSearches);
      const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
      for (std::size_t i = 0; i < weights.size(); ++i)
        CHECK(given[i] / double{kSearches} == doctest::Approx(weights[i] / sum).epsilon(0.05));
    }
  }
}

TEST_CASE("balancing: of two the one with fewer connections for its weight is chosen, always") {
  Field equal(Balance::kLeastConnections, {1, 1});
  equal.Carry(0, 1);
  CHECK(equal.Spread(100) == std::vector<int>{0, 100});
  Field weighed(Balance::kLeastConnections, {10, 1});
  weighed.Carry(0, 9);
  weighed.Carry(1, 1);
  CHECK(weighed.Spread(100) == std::vector<int>{100, 0});
  weighed.Carry(0, 2);
  CHECK(weighed.Spread(100) == std::vector<int>{0, 100});
}

TEST_CASE("balancing: connections that stay are spread by weight, as far as two choices do it") {
  for (const std::vector<int>& weights : {std::vector<int>(50, 1), std::vector<int>{4, 2, 1, 1}}) {
    Field field(Balance::kLeastConnections, weights);
    const int sum = std::accumulate(weights.begin(), weights.end(), 0);
    for (int i = 0; i < 100 * sum; ++i) {
      Choice choice;
      field.Carry(static_cast<std::size_t>(field.Next(choice)), 1);
    }
    for (std::size_t i = 0; i < weights.size(); ++i) {
      CHECK(field.at(i).in_flight() >= 100 * weights[i] - 6 * weights[i]);
      CHECK(field.at(i).in_flight() <= 100 * weights[i] + 6 * weights[i]);
    }
  }
}

TEST_CASE("balancing: by time the slower one is left alone until its average has faded") {
  Field field(Balance::kLeastTime, {1, 1});
  field.at(0).Proven(100ms, kNow);
  field.at(1).Proven(10ms, kNow);
  CHECK(field.Spread(100) == std::vector<int>{0, 100});
  field.Carry(1, 8);
  CHECK(field.Spread(100) == std::vector<int>{0, 100});  // 9 times 10 ms
  field.Carry(1, 2);
  CHECK(field.Spread(100) == std::vector<int>{100, 0});  // 11 times 10 ms
  for (field.now = kNow; field.now < kNow + 30s; field.now += 1s)
    field.at(1).Proven(10ms, field.now);
  CHECK(field.Spread(100) == std::vector<int>{100, 0});  // 100 ms, 30 s ago, are 5 ms
}

TEST_CASE("balancing: by time one that was never measured is tried, by one attempt at a time") {
  Field field(Balance::kLeastTime, {1, 1});
  field.at(0).Proven(10ms, kNow);
  CHECK(field.Spread(100) == std::vector<int>{0, 100});
  field.Carry(1, 1);
  CHECK(field.Spread(100) == std::vector<int>{100, 0});
}

TEST_CASE("peak average: follows a rise at once, a fall slowly, and fades") {
  PeakAverage average;
  CHECK_FALSE(average.At(kNow));
  average.Add(10ms, kNow);
  CHECK(*average.At(kNow) == doctest::Approx(10'000));
  average.Add(50ms, kNow + 1ms);
  CHECK(*average.At(kNow + 1ms) == doctest::Approx(50'000));
  average.Add(10ms, kNow + 1s);
  CHECK(*average.At(kNow + 1s) > 40'000);
  CHECK(*average.At(kNow + 1s + PeakAverage::kDecay) < 0.4 * *average.At(kNow + 1s));
  CHECK(*average.At(kNow) == doctest::Approx(*average.At(kNow + 1s)));  // a clock that is behind
  average.Add(3h, kNow + 2s);
  CHECK(*average.At(kNow + 2s) == doctest::Approx(4e9));
}

TEST_CASE("balancing: a sticky upstream has one endpoint for all workers, and keeps the next one") {
  Field field(Balance::kSticky, {1, 1, 1, 1});
  const auto other = MakeBalancer(field.rules, 99);
  other->Use(field.rules.endpoints);
  const auto of_other = [&](Choice& choice) {
    return static_cast<int>(other->Pick(choice, {4, false}, kNow) - field.rules.endpoints.data());
  };
  Choice first;
  const int kept = field.Next(first);
  for (int i = 0; i < 20; ++i) {
    Choice a, b;
    CHECK(field.Next(a) == kept);
    CHECK(of_other(b) == kept);
  }
  const int next = field.Next(first);  // it has failed this one
  CHECK(next != kept);
  Choice a, b;
  CHECK(field.Next(a) == next);
  CHECK(of_other(b) == next);
  // One that has met the first before goes on to the same.
  field.Eject(static_cast<std::size_t>(next));
  Choice c;
  const int third = field.Next(c);
  CHECK(third != next);
  field.at(static_cast<std::size_t>(next)).ejection().End(kNow + 2s);
  Choice d;
  CHECK(of_other(d) == third);  // also when that one is back
}

TEST_CASE("balancing: a sticky upstream stays with what it has when a nearer one comes") {
  Field field(Balance::kSticky, {1, 1, 1});
  for (int i = 0; i < 2; ++i) field.Eject(static_cast<std::size_t>(i));
  Choice choice;
  CHECK(field.Next(choice) == 2);
  for (int i = 0; i < 2; ++i) field.at(static_cast<std::size_t>(i)).ejection().End(kNow);
  Choice later;
  CHECK(field.Next(later, {2, false}) == 2);
}

TEST_CASE("balancing: 5,000 endpoints, all but one of which are out, are no long search") {
  for (const Balance balance : kAll) {
    Field field(balance, std::vector<int>(5'000, 1));
    for (std::size_t i = 0; i < 5'000; ++i) {
      if (i != 4'321) field.Eject(i);
    }
    for (int i = 0; i < 20; ++i) {
      Choice choice;
      CHECK(field.Next(choice) == 4'321);
      CHECK(field.Next(choice) == -1);
    }
  }
}

}  // namespace
}  // namespace mooring::data
