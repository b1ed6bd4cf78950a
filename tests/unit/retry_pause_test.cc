#include "proxy/net/retry_pause.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

namespace mooring::net {
namespace {

using namespace std::chrono_literals;

constexpr RetryPause::Bounds kBounds{250ms, 8s};
const MonotonicTime kNow = MonotonicTime{} + 1h;

TEST_CASE("retry pause: the bound doubles from the first to the most, and stays there") {
  milliseconds bound = kBounds.first;
  for (unsigned failures = 1; failures < 100; ++failures) {
    CHECK(RetryPause::AfterFailures(failures, kBounds, 0) == bound);
    CHECK(RetryPause::AfterFailures(failures, kBounds, 1) == bound / 2);
    bound = std::min(2 * bound, kBounds.most);
  }
  CHECK(RetryPause::AfterFailures(4'000'000'000u, kBounds, 0) == kBounds.most);
}

TEST_CASE("retry pause: bounds that do not double into each other, and equal ones") {
  constexpr RetryPause::Bounds uneven{300ms, 1s};
  CHECK(RetryPause::AfterFailures(2, uneven, 0) == 600ms);
  CHECK(RetryPause::AfterFailures(3, uneven, 0) == 1s);
  constexpr RetryPause::Bounds fixed{500ms, 500ms};
  CHECK(RetryPause::AfterFailures(1, fixed, 0) == 500ms);
  CHECK(RetryPause::AfterFailures(9, fixed, 1) == 250ms);
}

TEST_CASE("retry pause: it is between half and all of the bound, and spread over that") {
  std::set<milliseconds> seen;
  for (unsigned seed = 1; seed <= 200; ++seed) {
    RetryPause pause(seed * 7919);
    milliseconds bound = kBounds.first;
    for (int i = 0; i < 8; ++i) {
      const milliseconds got = pause.Failed(kBounds, kNow);
      CHECK(got >= bound / 2);
      CHECK(got <= bound);
      if (i == 7) seen.insert(got);
      bound = std::min(2 * bound, kBounds.most);
    }
  }
  CHECK(seen.size() > 150);
  CHECK(*seen.begin() < 4'300ms);
  CHECK(*seen.rbegin() > 7'700ms);
}

TEST_CASE("retry pause: a success begins anew") {
  RetryPause pause(1);
  for (int i = 0; i < 10; ++i) (void)pause.Failed(kBounds, kNow);
  CHECK(pause.failures() == 10);
  pause.Succeeded();
  CHECK(pause.failures() == 0);
  CHECK(pause.Failed(kBounds, kNow) <= kBounds.first);
}

TEST_CASE(
    "retry pause: it is due when its pause is over, and before the first failure and after a "
    "success") {
  RetryPause pause(1);
  CHECK(pause.Due(kNow));
  const milliseconds wait = pause.Failed(kBounds, kNow);
  CHECK_FALSE(pause.Due(kNow));
  CHECK_FALSE(pause.Due(kNow + wait - 1ms));
  CHECK(pause.Due(kNow + wait));
  (void)pause.Failed(kBounds, kNow + wait);
  CHECK_FALSE(pause.Due(kNow + wait));
  pause.Succeeded();
  CHECK(pause.Due(kNow + wait));
}

TEST_CASE(
    "retry pause: what is asked regularly comes up to a tenth early, and the first time at any "
    "moment of the interval") {
  RetryPause pause(1);
  milliseconds least = 1h, most = 0ms, earliest = 1h, latest = 0ms;
  for (int i = 0; i < 1'000; ++i) {
    const milliseconds regular = pause.Regular(30s);
    least = std::min(least, regular);
    most = std::max(most, regular);
    const milliseconds first = pause.AnyPart(30s);
    earliest = std::min(earliest, first);
    latest = std::max(latest, first);
  }
  CHECK(least >= 27s);
  CHECK(least < 27'100ms);
  CHECK(most <= 30s);
  CHECK(most > 29'900ms);
  CHECK(earliest >= 0ms);
  CHECK(earliest < 300ms);
  CHECK(latest <= 30s);
  CHECK(latest > 29'700ms);
  CHECK(RetryPause::Regular(30s, 0) == 30s);
  CHECK(RetryPause::Regular(30s, 1) == 27s);
}

TEST_CASE("retry pause: the same seed gives the same pauses, and another one others") {
  RetryPause one(5), same(5), other(6);
  bool differs = false;
  for (int i = 0; i < 10; ++i) {
    const milliseconds pause = one.Failed(kBounds, kNow);
    CHECK(same.Failed(kBounds, kNow) == pause);
    differs = differs || other.Failed(kBounds, kNow) != pause;
  }
  CHECK(differs);
}

}  // namespace
}  // namespace mooring::net
