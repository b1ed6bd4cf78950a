// Words that change again and again.
#include "proxy/control/damper.h"

#include <doctest/doctest.h>

#include <chrono>
#include <random>
#include <string>

namespace mooring::control {
namespace {

using namespace std::chrono_literals;

const net::MonotonicTime kStart{std::chrono::hours(1)};

InstanceKeys Of(const std::string& ids) {
  InstanceKeys keys;
  for (const char id : ids) keys.emplace("n", std::string(1, id));
  return keys;
}

std::string Ids(const InstanceKeys& keys) {
  std::string ids;
  for (const InstanceKey& key : keys) ids += key.second;
  return ids;
}

TEST_CASE("damper: the first change acts at once, and so does the other half of a swap") {
  for (const auto joining : {Damper::Joining::kWaits, Damper::Joining::kAtOnce}) {
    Damper damper(joining);
    CHECK(Ids(damper.Take(Of("a"), kStart)) == "a");
    CHECK(Ids(damper.Take(Of(""), kStart + 1s)) == "");
    CHECK(Ids(damper.Take(Of("b"), kStart + 2s)) == "b");
    CHECK_FALSE(damper.Next());
  }
}

TEST_CASE("damper: a change that follows soon waits, and one back to what holds was nothing") {
  Damper damper(Damper::Joining::kWaits);
  damper.Take(Of("a"), kStart);
  CHECK(Ids(damper.Take(Of("b"), kStart + 1s)) == "b");
  CHECK(Ids(damper.Take(Of("a"), kStart + 3s)) == "b");
  REQUIRE(damper.Next());
  CHECK(*damper.Next() == kStart + 6s);
  CHECK(damper.pending() == 2);
  CHECK(Ids(damper.Take(Of("a"), kStart + 6s - 1ms)) == "b");
  CHECK(Ids(damper.Take(Of("b"), kStart + 6s - 1ms)) == "b");
  CHECK_FALSE(damper.Next());
  // The third wait is longer, by what has been.
  CHECK(Ids(damper.Take(Of("a"), kStart + 7s)) == "b");
  CHECK(*damper.Next() == kStart + 7s + 12s);
  CHECK(Ids(damper.Take(Of("a"), kStart + 19s)) == "a");
}

TEST_CASE("damper: five flaps in ten seconds move nobody but once, and what holds at last does") {
  Damper damper(Damper::Joining::kWaits);
  std::string in = Ids(damper.Take(Of("a"), kStart));
  int moves = 0;
  const auto take = [&](const std::string& members, net::MonotonicTime now) {
    const std::string next = Ids(damper.Take(Of(members), now));
    if (next != in) ++moves;
    in = next;
  };
  net::MonotonicTime now = kStart + 60s;
  for (int flap = 0; flap < 5; ++flap) {
    take("b", now);
    now += 1s;
    take("a", now);
    now += 1s;
  }
  CHECK(moves == 1);
  CHECK(in == "b");
  while (damper.Next()) take("a", *damper.Next());
  CHECK(moves == 2);
  CHECK(in == "a");
}

TEST_CASE("damper: after quiet times a change acts at once again") {
  Damper damper(Damper::Joining::kWaits);
  damper.Take(Of("a"), kStart);
  damper.Take(Of(""), kStart + 1s);
  damper.Take(Of("a"), kStart + 2s);  // held back for 3 s
  CHECK(Ids(damper.Take(Of("a"), kStart + 5s)) == "a");
  CHECK(Ids(damper.Take(Of("a"), kStart + 15s)) == "a");
  CHECK(Ids(damper.Take(Of(""), kStart + 15s)) == "");
}

TEST_CASE("damper: where joining is nobody's harm it never waits, and leaving again does") {
  Damper damper(Damper::Joining::kAtOnce);
  damper.Take(Of("a"), kStart);
  CHECK(Ids(damper.Take(Of(""), kStart + 1s)) == "");
  CHECK(Ids(damper.Take(Of("a"), kStart + 2s)) == "a");
  CHECK(Ids(damper.Take(Of(""), kStart + 3s)) == "a");
  CHECK(*damper.Next() == kStart + 6s);
  CHECK(Ids(damper.Take(Of("a"), kStart + 4s)) == "a");
  CHECK_FALSE(damper.Next());
}

TEST_CASE("damper: whatever has been said, what is said long enough holds, and nothing is kept") {
  std::mt19937 random(18);
  for (int round = 0; round < 200; ++round) {
    Damper damper(round % 2 == 0 ? Damper::Joining::kWaits : Damper::Joining::kAtOnce);
    net::MonotonicTime now = kStart;
    std::string last;
    for (int step = 0; step < 50; ++step) {
      last.clear();
      for (const char id : {'a', 'b', 'c'}) {
        if (random() % 2 == 0) last += id;
      }
      damper.Take(Of(last), now);
      now += net::milliseconds(random() % 20'000);
    }
    CHECK(Ids(damper.Take(Of(last), now + Damper::kLongestWait)) == last);
    CHECK_FALSE(damper.Next());
  }
}

}  // namespace
}  // namespace mooring::control
