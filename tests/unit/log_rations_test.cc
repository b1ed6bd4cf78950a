// Which of the lines that strangers can cause are written, and what is said of the others.
#include "proxy/log/rations.h"

#include <doctest/doctest.h>

#include <chrono>
#include <random>
#include <string>

namespace mooring::log {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr MonotonicTime kStart{std::chrono::hours(1)};

// Takes `count` lines and returns how many may be written.
int Take(Rations* rations, MonotonicTime now, int count, std::string_view reason = "denied",
         std::string_view who = "web") {
  int written = 0;
  for (int i = 0; i < count; ++i) {
    if (rations->Take(now, Level::kInfo, "refused", reason, who).write) ++written;
  }
  return written;
}

TEST_CASE("log rations: each topic has ten lines a window") {
  Rations rations;
  CHECK(Take(&rations, kStart, 100) == Rations::kLines);
  CHECK(Take(&rations, kStart, 100, "unknown_ca") == Rations::kLines);
  CHECK(Take(&rations, kStart + Rations::kWindow - milliseconds(1), 1) == 0);
  CHECK(Take(&rations, kStart + Rations::kWindow, 100) == Rations::kLines);
}

TEST_CASE("log rations: what was left out is told at the end of its window, without another line") {
  Rations rations;
  const auto first = [&] {
    for (int i = 0; i < Rations::kLines; ++i) (void)Take(&rations, kStart, 1);
    return rations.Take(kStart + seconds(1), Level::kInfo, "refused", "denied", "web");
  }();
  CHECK_FALSE(first.write);
  REQUIRE(first.due);
  CHECK(*first.due == kStart + Rations::kWindow);
  CHECK_FALSE(rations.Take(kStart + seconds(2), Level::kWarn, "refused", "denied", "web").due);
  CHECK(rations.Close(*first.due - milliseconds(1), false).empty());
  CHECK(rations.NextDue() == first.due);
  const auto told = rations.Close(*first.due, false);
  REQUIRE(told.size() == 1);
  CHECK(told[0].message == "refused");
  CHECK(told[0].reason == "denied");
  CHECK(told[0].lines == 2);
  CHECK(told[0].level == Level::kWarn);
  CHECK(told[0].span == seconds(9));
  CHECK(rations.Close(*first.due, true).empty());
  CHECK_FALSE(rations.NextDue());
}

TEST_CASE("log rations: at the end everything is told, and the totals are of the whole life") {
  Rations rations;
  (void)Take(&rations, kStart, 110, "denied", "web");
  (void)Take(&rations, kStart, 30, "unknown_ca", "10.0.0.7");
  CHECK(rations.Close(kStart, true).size() == 2);
  (void)Take(&rations, kStart + Rations::kWindow, 20, "unknown_ca", "10.0.0.7");
  const auto totals = rations.Totals();
  REQUIRE(totals.size() == 2);
  CHECK(totals[0].reason == "denied");
  CHECK(totals[0].lines == 100);
  CHECK(totals[1].lines == 30);
  REQUIRE(totals[1].largest.size() == 1);
  CHECK(totals[1].largest[0].who == "10.0.0.7");
  CHECK(totals[1].largest[0].at_least == 30);
  CHECK(totals[1].largest[0].exact);
}

TEST_CASE("log rations: the largest are named, and counted exactly while they are few") {
  Rations rations;
  (void)Take(&rations, kStart, Rations::kLines);
  (void)Take(&rations, kStart, 7, "denied", "a");
  (void)Take(&rations, kStart, 9, "denied", "b");
  (void)Take(&rations, kStart, 2, "denied", "c");
  (void)Take(&rations, kStart, 1, "denied", "d");
  const auto told = rations.Close(kStart, true);
  REQUIRE(told.size() == 1);
  REQUIRE(told[0].largest.size() == Rations::kNamed);
  CHECK(told[0].largest[0].who == "b");
  CHECK(told[0].largest[0].at_least == 9);
  CHECK(told[0].largest[1].who == "a");
  CHECK(told[0].largest[2].who == "c");
  CHECK(told[0].largest[0].exact);
}

TEST_CASE(
    "log rations: among ten thousand strangers the largest is found, and no number is above the "
    "truth") {
  HeavyHitters hitters;
  std::mt19937 random(7);
  std::uint64_t truth = 0;
  for (int i = 0; i < 20'000; ++i) {
    if (i % 4 == 0) {
      hitters.Add("10.0.0.1");
      ++truth;
    } else {
      hitters.Add("192.0.2." + std::to_string(random() % 10'000));
    }
  }
  const auto largest = hitters.Largest(1);
  REQUIRE(largest.size() == 1);
  CHECK(largest[0].who == "10.0.0.1");
  CHECK(largest[0].at_least <= truth);
  CHECK(largest[0].at_least > truth / 2);
}

TEST_CASE("log rations: topics are bounded, and what is beyond shares one") {
  Rations rations;
  std::vector<std::string> reasons;
  for (int i = 0; i < 1000; ++i) reasons.push_back("reason " + std::to_string(i));
  for (const std::string& reason : reasons) (void)Take(&rations, kStart, 20, reason);
  CHECK(rations.Totals().size() <= Rations::kMaxTopics + 1);
  std::uint64_t lines = 0;
  for (const LeftOut& topic : rations.Totals()) lines += topic.lines;
  CHECK(lines == 20'000 - (Rations::kMaxTopics + 1) * Rations::kLines);
}

}  // namespace
}  // namespace mooring::log
