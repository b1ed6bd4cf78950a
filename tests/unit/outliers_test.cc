// Which endpoints are ejected for their failures, for how long, and when they are back: by what was
// reported of attempts, with time and chance as arguments.
#include "proxy/data/outliers.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace mooring::data {
namespace {

using namespace std::chrono_literals;

// Pool is an upstream of so many endpoints, and what is reported of them.
class Pool {
 public:
  explicit Pool(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      Endpoint endpoint;
      endpoint.address =
          *net::SocketAddress::FromLiteral(net::Address::Tcp("10.0.0." + std::to_string(i), 1));
      rules.endpoints.push_back(std::move(endpoint));
    }
    histories.Attach(&rules.endpoints);
  }

  EndpointHistory& at(std::size_t i) { return *rules.endpoints[i].history; }
  const Ejection& ejection(std::size_t i) { return at(i).ejection(); }
  bool Fail(std::size_t i) { return outliers.Failed(rules, at(i), {now - 1ms, now}, random); }
  // FailAll has it fail as often as it takes, and returns for how long it is ejected.
  net::milliseconds Eject(std::size_t i) {
    for (unsigned n = 1; n < rules.ejection.after; ++n) CHECK_FALSE(Fail(i));
    CHECK(Fail(i));
    return Time(i);
  }
  net::milliseconds Time(std::size_t i) {
    return std::chrono::duration_cast<net::milliseconds>(ejection(i).until() - ejection(i).since());
  }
  // Return lets the ejection pass and has a probe prove the endpoint.
  void Return(std::size_t i) {
    now = ejection(i).until() + 1ms;
    CHECK(outliers.ProbeProven(at(i), {now, now + 1ms}));
    now += 3ms;  // what begins from here on is news
  }

  net::MonotonicTime now{1h};
  Histories histories;
  UpstreamRules rules;
  Outliers outliers;
  Random random{20'261'129};
};

// Within: at least that long, and a quarter more at most.
bool Within(net::milliseconds time, net::milliseconds least) {
  return time >= least && time <= least + least / 4;
}

TEST_CASE("outliers: the third failure in a row ejects an endpoint, of two as well") {
  Pool pool(2);
  CHECK_FALSE(pool.Fail(0));
  CHECK_FALSE(pool.Fail(0));
  CHECK(StateOf(pool.at(0), pool.now) == EndpointState::kFailing);
  pool.outliers.Proven(pool.at(0), {pool.now - 1ms, pool.now});
  CHECK(Within(pool.Eject(0), 1s));
  CHECK(pool.ejection(0).out());
  CHECK(StateOf(pool.at(0), pool.now) == EndpointState::kEjected);
  CHECK(StateOf(pool.at(0), pool.ejection(0).until()) == EndpointState::kProbation);
  CHECK_FALSE(InService(pool.rules, pool.rules.endpoints[0]));
  CHECK(InService(pool.rules, pool.rules.endpoints[1]));
  CHECK(pool.outliers.ejections() == 1);
}

TEST_CASE("outliers: the last one is never ejected, and is once another is back") {
  Pool one(1);
  for (int i = 0; i < 100; ++i) CHECK_FALSE(one.Fail(0));
  Pool two(2);
  two.Eject(0);
  for (int i = 0; i < 10; ++i) CHECK_FALSE(two.Fail(1));
  CHECK_FALSE(two.ejection(1).out());
  two.Return(0);
  CHECK(two.Fail(1));
}

TEST_CASE(
    "outliers: what began before an endpoint was back is no news; in service a probe that fails "
    "counts like any other attempt") {
  Pool pool(2);
  pool.Eject(0);
  const auto probe_fails = [&](net::MonotonicTime began) {
    return pool.outliers.ProbeFailed(pool.rules, pool.at(0), {began, pool.now}, pool.random);
  };
  pool.Return(0);
  const net::MonotonicTime before = pool.ejection(0).back_at();
  for (int i = 0; i < 10; ++i) {
    CHECK_FALSE(probe_fails(before));
    CHECK_FALSE(pool.outliers.Failed(pool.rules, pool.at(0), {before, pool.now}, pool.random));
  }
  CHECK(pool.at(0).failures_in_a_row() == 0);
  for (unsigned n = 1; n < pool.rules.ejection.after; ++n) CHECK_FALSE(probe_fails(pool.now - 1ms));
  CHECK(probe_fails(pool.now - 1ms));
  CHECK(pool.ejection(0).out());
}

TEST_CASE("outliers: entries of one list that are the same instance are not each other's other") {
  Pool pool(2);
  pool.rules.endpoints[1] = pool.rules.endpoints[0];
  for (int i = 0; i < 10; ++i) CHECK_FALSE(pool.Fail(0));
}

TEST_CASE(
    "outliers: each ejection is one step longer, up to the longest, with up to a quarter by "
    "chance") {
  Pool pool(3);
  CHECK(Within(pool.Eject(0), 1s));
  net::milliseconds shortest = 1h, longest = 0s;
  for (int step = 2; step <= 40; ++step) {
    pool.now = pool.ejection(0).until() + 1ms;
    CHECK(
        pool.outliers.ProbeFailed(pool.rules, pool.at(0), {pool.now, pool.now + 5ms}, pool.random));
    const net::milliseconds time = pool.Time(0);
    CHECK(Within(time, std::min<net::milliseconds>(step * 1s, 30s)));
    if (step < 30) continue;
    shortest = std::min(shortest, time);
    longest = std::max(longest, time);
  }
  CHECK(longest - shortest > 2s);  // they are not all the same
  CHECK(pool.outliers.probes_failed() == 39);
  CHECK(pool.ejection(0).probes_failed() == 39);
}

TEST_CASE("outliers: each quiet time in service takes one step away") {
  struct Row {
    std::chrono::seconds quiet;
    std::chrono::seconds next;
  };
  for (const Row& row : {Row{0s, 4s}, Row{9s, 4s}, Row{10s, 3s}, Row{25s, 2s}, Row{300s, 1s}}) {
    CAPTURE(row.quiet.count());
    Pool pool(2);
    pool.Eject(0);
    for (int i = 0; i < 2; ++i) {
      pool.now = pool.ejection(0).until() + 1ms;
      pool.outliers.ProbeFailed(pool.rules, pool.at(0), {pool.now, pool.now}, pool.random);
    }
    pool.Return(0);
    pool.now += row.quiet;
    CHECK(Within(pool.Eject(0), row.next));
  }
}

TEST_CASE(
    "outliers: a night of failures is made up for by as many quiet times as there are steps") {
  Pool pool(2);
  pool.Eject(0);
  for (int i = 0; i < 5'000; ++i) {
    pool.now = pool.ejection(0).until() + 1ms;
    pool.outliers.ProbeFailed(pool.rules, pool.at(0), {pool.now, pool.now}, pool.random);
  }
  pool.Return(0);
  pool.now += 30 * 10s;
  CHECK(Within(pool.Eject(0), 1s));
}

TEST_CASE("outliers: what began before the ejection neither counts against it nor ends it") {
  Pool pool(2);
  const net::MonotonicTime before = pool.now - 100ms;
  pool.Eject(0);
  const net::MonotonicTime until = pool.ejection(0).until();
  pool.now += 500ms;
  for (int i = 0; i < 5; ++i)
    CHECK_FALSE(pool.outliers.Failed(pool.rules, pool.at(0), {before, pool.now}, pool.random));
  CHECK(pool.ejection(0).until() == until);
  CHECK_FALSE(pool.outliers.Proven(pool.at(0), {before, pool.now}));
  CHECK(pool.ejection(0).out());
  pool.Return(0);
  for (int i = 0; i < 5; ++i)
    CHECK_FALSE(pool.outliers.Failed(pool.rules, pool.at(0), {before, pool.now}, pool.random));
  CHECK_FALSE(pool.ejection(0).out());
  CHECK(pool.at(0).failures() == 3 + 10);  // they are failures all the same
}

TEST_CASE(
    "outliers: of two probes that fail, the one that began before the new ejection does not "
    "lengthen it") {
  Pool pool(2);
  pool.Eject(0);
  pool.now = pool.ejection(0).until() + 1ms;
  const net::MonotonicTime first = pool.now, second = pool.now + 1s;
  CHECK(pool.outliers.ProbeFailed(pool.rules, pool.at(0), {second, second + 1s}, pool.random));
  const net::MonotonicTime until = pool.ejection(0).until();
  CHECK_FALSE(pool.outliers.ProbeFailed(pool.rules, pool.at(0), {first, second + 2s}, pool.random));
  CHECK(pool.ejection(0).until() == until);
}

TEST_CASE(
    "outliers: an attempt of the last resort that is good ends the ejection as a probe does") {
  Pool pool(2);
  pool.Eject(0);
  pool.now += 10ms;
  CHECK(pool.outliers.Proven(pool.at(0), {pool.now - 5ms, pool.now}));
  CHECK_FALSE(pool.ejection(0).out());
  CHECK(pool.at(0).failures_in_a_row() == 0);
}

TEST_CASE("outliers: a probe is claimed once a second, from the end of the ejection on") {
  Pool pool(2);
  pool.Eject(0);
  Ejection& ejection = pool.at(0).ejection();
  CHECK_FALSE(ejection.ClaimProbe(ejection.until() - 1ms));
  CHECK(ejection.ClaimProbe(ejection.until()));
  CHECK_FALSE(ejection.ClaimProbe(ejection.until()));
  CHECK_FALSE(ejection.ClaimProbe(ejection.until() + 999ms));
  CHECK(ejection.ClaimProbe(ejection.until() + 1s));
  CHECK_FALSE(pool.at(1).ejection().ClaimProbe(pool.now));
}

TEST_CASE(
    "outliers: no more are out than the share that may be, but for none where it is below one") {
  struct Row {
    unsigned share;
    std::size_t count, out;
  };
  for (const Row& row : {Row{100, 4, 3}, Row{50, 4, 2}, Row{49, 4, 1}, Row{10, 9, 0},
                         Row{10, 10, 1}, Row{0, 4, 0}}) {
    CAPTURE(row.share);
    Pool pool(row.count);
    pool.rules.ejection.share = row.share;
    std::size_t out = 0;
    for (std::size_t i = 0; i < row.count; ++i) {
      for (int n = 0; n < 5; ++n) pool.Fail(i);
      if (pool.ejection(i).out()) ++out;
    }
    CHECK(out == row.out);
  }
}

TEST_CASE("outliers: of those that are due only so many percent are ejected") {
  int ejected = 0;
  Random random(3);
  for (int i = 0; i < 1'000; ++i) {
    Pool pool(2);
    pool.rules.ejection.enforced = 30;
    pool.random = Random(random.Next());
    for (int n = 0; n < 5; ++n) pool.Fail(0);  // one ejection is due, with the third
    if (pool.ejection(0).out()) ++ejected;
  }
  CHECK(ejected > 250);
  CHECK(ejected < 350);
  Pool pool(2);
  pool.rules.ejection.enforced = 0;
  for (int n = 0; n < 300; ++n) CHECK_FALSE(pool.Fail(0));
}

TEST_CASE("outliers: with 0 nobody is ejected, and who was is in service at once") {
  Pool pool(2);
  pool.Eject(0);
  pool.rules.ejection.after = 0;
  CHECK(InService(pool.rules, pool.rules.endpoints[0]));
  for (int n = 0; n < 10; ++n) CHECK_FALSE(pool.Fail(1));
}

TEST_CASE("outliers: an ejection survives a new list for those that stay") {
  Pool pool(3);
  pool.Eject(1);
  std::vector<Endpoint> next{pool.rules.endpoints[1], pool.rules.endpoints[2]};
  next[0].history.reset();
  pool.histories.Attach(&next);
  CHECK(next[0].history->ejection().out());
  CHECK_FALSE(next[1].history->ejection().out());
}

TEST_CASE(
    "threads: workers that report one upstream's failures at once leave one endpoint in service") {
  Pool pool(4);
  std::vector<std::thread> workers;
  for (std::uint64_t worker = 0; worker < 4; ++worker) {
    workers.emplace_back([&pool, worker] {
      Random random(worker);
      for (int i = 0; i < 2'000; ++i) {
        const std::size_t which = random.Below(4);
        const net::MonotonicTime now = pool.now + std::chrono::milliseconds(i);
        if (random.Below(8) == 0) {
          pool.outliers.Proven(pool.at(which), {now - 1ms, now});
        } else {
          pool.outliers.Failed(pool.rules, pool.at(which), {now - 1ms, now}, random);
        }
        pool.at(which).ejection().ClaimProbe(now);
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  std::size_t out = 0;
  for (std::size_t n = 0; n < 4; ++n) {
    if (pool.ejection(n).out()) ++out;
  }
  CHECK(out < 4);
}

}  // namespace
}  // namespace mooring::data
