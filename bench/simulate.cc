// bench-simulate [SEED]: how connections fare by each way to find an instance, where some are slow
// and some fail, as tables in Markdown. Simulated: nothing is measured, and the same seed gives the
// same tables.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <vector>

#include "bench/simulation.h"

namespace mooring::bench {
namespace {

using data::Balance;
using Search = Method::Search;

constexpr std::uint64_t kSeed = 20'261'129;

double Milliseconds(std::chrono::microseconds time) {
  return static_cast<double>(time.count()) / 1'000;
}

double Part(std::size_t of, std::size_t all) {
  return all == 0 ? 0 : 100 * static_cast<double>(of) / static_cast<double>(all);
}

// Row prints one method. What is fair for the slow ones is their part of all instances.
void Row(const World& world, const Method& method, std::uint64_t seed) {
  const Outcome outcome = Simulate(world, method, seed);
  const auto slow = outcome.served.begin() + static_cast<std::ptrdiff_t>(world.slow);
  const auto good = slow + static_cast<std::ptrdiff_t>(world.failing);
  const std::size_t by_good = std::accumulate(good, outcome.served.end(), std::size_t{0});
  const double mean =
      static_cast<double>(by_good) / static_cast<double>(outcome.served.end() - good);
  const double most = static_cast<double>(*std::max_element(good, outcome.served.end()));
  std::printf(
      "| %s | %.2f %% | %.1f | %.0f | %.0f | %.2f | %.2f %% | %.1f %% | %.2f | %zu |\n",
      method.name.c_str(), Part(outcome.errors, outcome.connections), Milliseconds(outcome.At(0.5)),
      Milliseconds(outcome.At(0.99)), Milliseconds(outcome.At(0.999)),
      static_cast<double>(outcome.dials) / static_cast<double>(outcome.connections),
      Part(outcome.first_failing, outcome.connections),
      Part(std::accumulate(outcome.served.begin(), slow, std::size_t{0}), outcome.took.size()),
      most / mean, *std::max_element(outcome.most_open.begin(), outcome.most_open.end()));
}

void Table(const World& world, std::uint64_t seed) {
  std::printf(
      "%zu instances, of which %zu slow and %zu failing from the %lldth second to the %lldth of "
      "%lld; %.0f connections a second\n\n"
      "| | errors | p50 ms | p99 ms | p99.9 ms | dials each | begun at a failing one | served by "
      "slow "
      "ones | busiest good one / mean | most open at one |\n"
      "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
      world.instances, world.slow, world.failing, static_cast<long long>(world.fails_from.count()),
      static_cast<long long>(world.fails_until.count()),
      static_cast<long long>(world.length.count()), world.rate);
  for (const Method& method :
       {Method{"random, one attempt", Balance::kRandom, false, Search::kOnce},
        Method{"round robin, one attempt", Balance::kRoundRobin, false, Search::kOnce},
        Method{"random, one after the other", Balance::kRandom, false, Search::kInTurn},
        Method{"round robin, one after the other", Balance::kRoundRobin, false, Search::kInTurn},
        Method{"random, overlapping, ejection", Balance::kRandom},
        Method{"round robin, overlapping, ejection", Balance::kRoundRobin},
        Method{"least time, overlapping, ejection", Balance::kLeastTime},
        Method{"**least connections, overlapping, ejection**", Balance::kLeastConnections},
        Method{"the same without ejection", Balance::kLeastConnections, false},
        Method{"sticky, overlapping, ejection", Balance::kSticky}}) {
    Row(world, method, seed);
  }
  std::printf("\n");
}

}  // namespace
}  // namespace mooring::bench

int main(int argc, char** argv) {
  using namespace mooring::bench;
  const std::uint64_t seed = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : kSeed;
  Table({.instances = 5, .slow = 1, .failing = 1, .rate = 100}, seed);
  Table({.instances = 50, .slow = 5, .failing = 3, .rate = 1'000}, seed);
  return 0;
}
