// What bench-simulate tabulates holds: an instance that is slow or fails costs the clients little,
// and less than without what remembers it. Simulated time, so these are no measurements.
#include "bench/simulation.h"

#include <doctest/doctest.h>

#include <chrono>

namespace mooring::bench {
namespace {

using namespace std::chrono_literals;
using Search = Method::Search;

constexpr World kWorlds[] = {{.instances = 5, .slow = 1, .failing = 1, .rate = 100},
                             {.instances = 50, .slow = 5, .failing = 3, .rate = 1'000}};

TEST_CASE("simulation: nobody is refused, and nearly nobody meets what is ejected") {
  for (const World& world : kWorlds) {
    const Outcome outcome = Simulate(world, {"default"}, 1);
    CHECK(outcome.errors == 0);
    CHECK(outcome.ejections > 0);
    CHECK(outcome.first_failing * 100 < outcome.connections);
    CHECK(outcome.dials * 10 <= outcome.connections * 12);
    for (std::size_t i = 0; i < world.slow + world.failing; ++i)
      CHECK(outcome.served[i] > 0);  // who failed is back, and who is slow is used
  }
}

TEST_CASE("simulation: one attempt without a memory fails as often as it meets one that fails") {
  for (const World& world : kWorlds) {
    const Outcome once =
        Simulate(world, {"random", data::Balance::kRandom, /*ejects=*/false, Search::kOnce}, 1);
    CHECK(once.errors == once.first_failing);
    CHECK(once.errors * 50 > once.connections);
  }
}

TEST_CASE("simulation: without a memory the tail waits for those that do not answer") {
  for (const World& world : kWorlds) {
    const Outcome with = Simulate(world, {"default"}, 1);
    const Outcome without = Simulate(
        world, {"in turn", data::Balance::kRoundRobin, /*ejects=*/false, Search::kInTurn}, 1);
    CHECK(without.At(0.99) > 1s);
    CHECK(with.At(0.99) < 300ms);
  }
}

TEST_CASE(
    "simulation: by connections the slow one gets fewer, and no more at a time than in turns") {
  for (const World& world : kWorlds) {
    const Outcome least = Simulate(world, {"least", data::Balance::kLeastConnections}, 1);
    const Outcome turns = Simulate(world, {"turns", data::Balance::kRoundRobin}, 1);
    CHECK(least.served[0] < turns.served[0]);
    CHECK(least.most_open[0] < turns.most_open[0]);
  }
}

}  // namespace
}  // namespace mooring::bench
