// How many attempts beyond the first an upstream's searches may begin, by the connections and the
// time that have passed.
#include "proxy/data/retry_budget.h"

#include <doctest/doctest.h>

#include <chrono>
#include <random>
#include <thread>
#include <vector>

namespace mooring::data {
namespace {

using namespace std::chrono_literals;

const net::MonotonicTime kStart{std::chrono::hours(1)};

int TakeAll(RetryBudget& budget, net::MonotonicTime now) {
  int taken = 0;
  while (budget.Take(now)) ++taken;
  return taken;
}

TEST_CASE("retry budget: it is full at the start, and no more than that is saved up") {
  RetryBudget budget;
  CHECK(TakeAll(budget, kStart) == RetryBudget::kMost);
  CHECK(TakeAll(budget, kStart + 1h) == RetryBudget::kMost);
  for (int i = 0; i < 1'000; ++i) budget.NoteConnection(kStart + 1h);
  CHECK(TakeAll(budget, kStart + 1h) == RetryBudget::kMost);
}

TEST_CASE("retry budget: a second brings three, five connections bring one") {
  RetryBudget budget;
  TakeAll(budget, kStart);
  CHECK(TakeAll(budget, kStart + 333ms) == 0);
  CHECK(TakeAll(budget, kStart + 334ms) == 1);
  CHECK(TakeAll(budget, kStart + 1s) == 2);
  for (int i = 0; i < 4; ++i) budget.NoteConnection(kStart + 1s);
  CHECK_FALSE(budget.Take(kStart + 1s));
  budget.NoteConnection(kStart + 1s);
  CHECK(TakeAll(budget, kStart + 1s) == 1);
}

TEST_CASE("retry budget: what has not begun is given back") {
  RetryBudget budget;
  TakeAll(budget, kStart);
  budget.GiveBack();
  CHECK(TakeAll(budget, kStart) == 1);
}

TEST_CASE("retry budget: a clock that is behind another worker's takes and brings nothing") {
  RetryBudget budget;
  TakeAll(budget, kStart + 10s);
  CHECK_FALSE(budget.Take(kStart));
  CHECK(TakeAll(budget, kStart + 11s) == 3);
}

TEST_CASE(
    "retry budget: whatever happens, in no span of time more is taken than was saved and has come "
    "in") {
  std::mt19937 random(18);
  for (int run = 0; run < 200; ++run) {
    RetryBudget budget;
    net::MonotonicTime now = kStart;
    // Of each event since the start: when, connections and attempts until then.
    struct Sum {
      net::MonotonicTime at;
      int connections = 0, taken = 0;
    };
    std::vector<Sum> sums{{now}};
    for (int i = 0; i < 200; ++i) {
      now += std::chrono::microseconds(random() % (run % 2 == 0 ? 1'000'000 : 10'000));
      Sum sum = sums.back();
      sum.at = now;
      if (random() % 2 == 0) {
        budget.NoteConnection(now);
        ++sum.connections;
      } else if (budget.Take(now)) {
        ++sum.taken;
      }
      sums.push_back(sum);
    }
    for (std::size_t from = 0; from < sums.size(); from += 7) {
      for (std::size_t to = from; to < sums.size(); to += 5) {
        const std::chrono::duration<double> passed = sums[to].at - sums[from].at;
        const double came =
            3.0 * passed.count() + 0.2 * (sums[to].connections - sums[from].connections);
        REQUIRE(sums[to].taken - sums[from].taken <= RetryBudget::kMost + came + 1e-6);
      }
    }
  }
}

TEST_CASE("threads: workers that take from one retry budget at once do not take more than it has") {
  RetryBudget budget;
  std::vector<std::thread> workers;
  std::vector<int> taken(4);
  for (int& count : taken)
    workers.emplace_back([&budget, &count] { count = TakeAll(budget, kStart); });
  int sum = 0;
  for (std::size_t i = 0; i < workers.size(); ++i) {
    workers[i].join();
    sum += taken[i];
  }
  CHECK(sum == RetryBudget::kMost);
}

}  // namespace
}  // namespace mooring::data
