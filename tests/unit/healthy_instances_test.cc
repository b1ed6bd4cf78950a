// Which instances are tried while an agent that has just started knows nothing of them.
#include "proxy/control/healthy_instances.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

namespace mooring::control {
namespace {

using namespace std::chrono_literals;

enum class Health { kPassing, kWarning, kUndecided, kCritical };

authz::Instance Named(const std::string& id, Health health, const std::string& interval = "") {
  authz::Instance instance;
  instance.node = "n";
  instance.id = id;
  instance.address = "10.0.0.1";
  instance.port = 1;
  instance.warning = health == Health::kWarning;
  instance.critical = health == Health::kUndecided || health == Health::kCritical;
  instance.undecided = health == Health::kUndecided;
  instance.check_interval = interval;
  return instance;
}

std::string Ids(const std::vector<authz::Instance>& instances) {
  std::string ids;
  for (const authz::Instance& instance : instances) ids += instance.id;
  return ids;
}

const net::MonotonicTime kStart{std::chrono::hours(1)};

TEST_CASE(
    "healthy instances: those that pass or warn are tried, or, if wanted so, those that pass") {
  const std::vector<authz::Instance> listed{
      Named("a", Health::kPassing), Named("b", Health::kWarning), Named("c", Health::kUndecided),
      Named("d", Health::kCritical), Named("e", Health::kPassing)};
  HealthyInstances healthy;
  CHECK(Ids(healthy.Take(listed, kStart)) == "abe");
  CHECK_FALSE(healthy.Next());
  HealthyInstances passing_only(true);
  CHECK(Ids(passing_only.Take(listed, kStart)) == "ae");
  CHECK_FALSE(passing_only.Next());
}

TEST_CASE("healthy instances: a warning with a weight of 0 is tried by nobody") {
  authz::Instance warns = Named("a", Health::kWarning);
  warns.weight = 0;
  HealthyInstances healthy;
  CHECK(Ids(healthy.Take({warns}, kStart)) == "");
  // Nor on trust, once its checks have not run: it was not tried before.
  CHECK(Ids(healthy.Take({Named("a", Health::kUndecided)}, kStart + 1s)) == "");
}

TEST_CASE("healthy instances: one that warned is tried while its checks have not run") {
  for (const bool passing_only : {false, true}) {
    CAPTURE(passing_only);
    HealthyInstances healthy(passing_only);
    healthy.Take({Named("a", Health::kWarning)}, kStart);
    CHECK(Ids(healthy.Take({Named("a", Health::kUndecided)}, kStart + 1s)) ==
          (passing_only ? "" : "a"));
  }
}

TEST_CASE(
    "healthy instances: one that was passing is tried while its checks have not run, for an "
    "interval and a bit") {
  struct Row {
    const char* interval;
    net::milliseconds time;
  };
  for (const Row& row : {Row{"", 13s}, Row{"10s", 13s}, Row{"2s", 5s}, Row{"1m0s", 63s},
                         Row{"1h", 63s}, Row{"soon", 13s}}) {
    CAPTURE(row.interval);
    HealthyInstances healthy;
    healthy.Take({Named("a", Health::kPassing)}, kStart);
    const std::vector<authz::Instance> restarted{Named("a", Health::kUndecided, row.interval)};
    CHECK(Ids(healthy.Take(restarted, kStart + 1s)) == "a");
    REQUIRE(healthy.Next());
    CHECK(*healthy.Next() == kStart + 1s + row.time);
    // Answers in between do not prolong it.
    CHECK(Ids(healthy.Take(restarted, kStart + 1s + row.time - 1ms)) == "a");
    CHECK(*healthy.Next() == kStart + 1s + row.time);
    CHECK(Ids(healthy.Take(restarted, kStart + 1s + row.time)) == "");
    CHECK_FALSE(healthy.Next());
    // It has had its time, whatever is listed of it, until it passes again.
    CHECK(Ids(healthy.Take(restarted, kStart + 1s + row.time + 1s)) == "");
    CHECK(Ids(healthy.Take({Named("a", Health::kPassing)}, kStart + 100s)) == "a");
    CHECK(Ids(healthy.Take(restarted, kStart + 101s)) == "a");
  }
}

TEST_CASE("healthy instances: a verdict, maintenance and removal count at once") {
  HealthyInstances healthy;
  healthy.Take(
      {Named("a", Health::kPassing), Named("b", Health::kPassing), Named("c", Health::kPassing)},
      kStart);
  CHECK(Ids(healthy.Take({Named("a", Health::kUndecided), Named("b", Health::kCritical)},
                         kStart + 1s)) == "a");
  // Whoever was out is not back by losing its verdict.
  CHECK(Ids(healthy.Take({Named("a", Health::kCritical), Named("b", Health::kUndecided),
                          Named("c", Health::kUndecided)},
                         kStart + 2s)) == "");
}

TEST_CASE("healthy instances: a check that has run and passes ends the time on trust") {
  HealthyInstances healthy;
  healthy.Take({Named("a", Health::kPassing)}, kStart);
  healthy.Take({Named("a", Health::kUndecided)}, kStart + 1s);
  healthy.Take({Named("a", Health::kPassing)}, kStart + 5s);
  CHECK_FALSE(healthy.Next());
  healthy.Take({Named("a", Health::kUndecided)}, kStart + 20s);
  CHECK(*healthy.Next() == kStart + 33s);
}

TEST_CASE("healthy instances: an instance that moved is another one") {
  HealthyInstances healthy;
  healthy.Take({Named("a", Health::kPassing)}, kStart);
  authz::Instance moved = Named("a", Health::kUndecided);
  moved.port = 2;
  CHECK(Ids(healthy.Take({moved}, kStart + 1s)) == "");
}

}  // namespace
}  // namespace mooring::control
