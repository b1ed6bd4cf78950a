// What may stand between us and the agent's truth: a clock that differs, a front that ends what
// waits.
#include <doctest/doctest.h>

#include <chrono>

#include "proxy/control/clock_check.h"
#include "proxy/control/wait_limit.h"

namespace mooring::control {
namespace {

using namespace std::chrono_literals;

// Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
constexpr char kDate[] = "Sun, 06 Nov 1994 08:49:37 GMT";
const std::chrono::system_clock::time_point kMoment{std::chrono::seconds(784111777)};

TEST_CASE("clock check: up to half a minute either way is no matter") {
  ClockCheck check;
  for (const auto ahead : {0s, 30s, -30s}) {
    CHECK_FALSE(check.Take(kDate, kMoment + ahead));
    CHECK_FALSE(check.Take(kDate, kMoment + ahead));
    CHECK_FALSE(check.off());
  }
}

TEST_CASE("clock check: two answers in a row prove a difference, and one proves its end") {
  for (const auto ahead : {31s, -31s, 3600s}) {
    CAPTURE(ahead.count());
    ClockCheck check;
    CHECK_FALSE(check.Take(kDate, kMoment + ahead));
    CHECK_FALSE(check.off());
    CHECK(check.Take(kDate, kMoment + ahead));
    REQUIRE(check.off());
    CHECK(*check.off() == ahead);
    CHECK_FALSE(check.Take(kDate, kMoment + ahead * 2));
    CHECK(*check.off() == ahead * 2);
    CHECK(check.Take(kDate, kMoment));
    CHECK_FALSE(check.off());
  }
}

TEST_CASE("clock check: a single answer that lay about, and dates that are none, prove nothing") {
  ClockCheck check;
  CHECK_FALSE(check.Take(kDate, kMoment + 1h));
  CHECK_FALSE(check.Take(kDate, kMoment));
  CHECK_FALSE(check.Take(kDate, kMoment + 1h));
  for (const char* date :
       {"", "yesterday", "Sun, 06 Nov 1994 08:49:37 GMT and more", "Sun, 06 Nov 1994"}) {
    CHECK_FALSE(check.Take(date, kMoment + 1h));
  }
  CHECK_FALSE(check.off());
}

TEST_CASE(
    "wait limit: a gateway's timeout is believed at once, with room for what the agent adds") {
  WaitLimit limit;
  WaitLimit::Cuts cuts;
  CHECK(limit.Of(20s) == 20s);
  CHECK(limit.Cut(cuts, 8s, 20s, true));
  CHECK(limit.Of(20s) == 6s);
  CHECK(limit.Of(3s) == 3s);
  // What was under way before says nothing new; a shorter one counts.
  CHECK_FALSE(limit.Cut(cuts, 7s, 20s, true));
  CHECK(limit.Cut(cuts, 4s, 6s, true));
  CHECK(limit.Of(20s) == 3s);
  CHECK(limit.Cut(cuts, 1s, 3s, true));
  CHECK(limit.Of(20s) == 1s);
}

TEST_CASE("wait limit: a closed connection is believed at the second of the same age") {
  WaitLimit limit;
  WaitLimit::Cuts cuts;
  WaitLimit::Cuts others;
  CHECK_FALSE(limit.Cut(cuts, 10s, 20s, false));
  // an agent that ends cuts all of them at one age
  CHECK_FALSE(limit.Cut(others, 10s, 20s, false));
  CHECK_FALSE(limit.Cut(cuts, 15s, 20s, false));
  CHECK(limit.Cut(cuts, 14s, 20s, false));
  CHECK(limit.Of(20s) == 10'500ms);
}

TEST_CASE("wait limit: what ends at once or after its time is no limit, and begins anew") {
  WaitLimit limit;
  WaitLimit::Cuts cuts;
  CHECK_FALSE(limit.Cut(cuts, 10s, 20s, false));
  CHECK_FALSE(limit.Cut(cuts, 999ms, 20s, true));
  CHECK_FALSE(limit.Cut(cuts, 10s, 20s, false));
  CHECK_FALSE(limit.Cut(cuts, 20s, 20s, true));
  CHECK_FALSE(limit.Cut(cuts, 10s, 20s, false));
  CHECK(limit.Of(20s) == 20s);
}

}  // namespace
}  // namespace mooring::control
