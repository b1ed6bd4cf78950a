// How many attempts a search may make, how they share its time, and what it says at its end.
#include "proxy/data/attempts.h"

#include <doctest/doctest.h>

#include <chrono>

namespace mooring::data {
namespace {

using namespace std::chrono_literals;

const net::MonotonicTime kStart{std::chrono::hours(1)};

TEST_CASE("attempts: one endpoint has all of the time") {
  Attempts attempts(kStart + 5s, 10);
  attempts.Begin();
  CHECK(attempts.Share(kStart, 1) == 5s);
  CHECK(attempts.Share(kStart + 2s, 1) == 3s);
  CHECK(attempts.Left(kStart + 5s) == 0ms);
  CHECK(attempts.Left(kStart + 6s) == -1s);
}

TEST_CASE("attempts: of several, each has its part of what is left, and none less than a third") {
  Attempts two(kStart + 6s, 10);
  two.Begin();
  CHECK(two.Share(kStart, 2) == 3s);
  two.Failed(CloseReason::kConnectTimeout);
  two.Begin();
  CHECK(two.Share(kStart + 3s, 2) == 3s);

  Attempts many(kStart + 9s, 10);
  many.Begin();
  CHECK(many.Share(kStart, 100) == 3s);
  many.Failed(CloseReason::kConnectTimeout);
  many.Begin();
  CHECK(many.Share(kStart + 3s, 100) == 2s);
}

TEST_CASE("attempts: a list that has become shorter leaves the time to the attempt under way") {
  Attempts attempts(kStart + 6s, 10);
  for (int i = 0; i < 3; ++i) attempts.Begin();
  CHECK(attempts.Share(kStart, 1) == 6s);
  CHECK(attempts.Share(kStart, 0) == 6s);
}

TEST_CASE(
    "attempts: the reason is that of the one endpoint, or that none of several did, or a shortage "
    "of ours") {
  Attempts none(kStart, 10);
  CHECK(none.Verdict(true) == CloseReason::kNoEndpoint);

  Attempts one(kStart, 10);
  one.Begin();
  one.Failed(CloseReason::kSanMismatch);
  CHECK(one.Verdict(true) == CloseReason::kSanMismatch);

  Attempts two(kStart, 10);
  two.Begin();
  two.Failed(CloseReason::kConnectRefused);
  two.Begin();
  two.Failed(CloseReason::kConnectTimeout);
  CHECK(two.Verdict(true) == CloseReason::kConnectFailed);
  CHECK(two.Verdict(false) == CloseReason::kConnectTimeout);  // the time was over before the list
  two.Failed(CloseReason::kOutOfResources);
  CHECK(two.Verdict(true) == CloseReason::kOutOfResources);
}

TEST_CASE("attempts: there are as many as may be") {
  Attempts attempts(kStart, 2);
  CHECK(attempts.MayBegin());
  attempts.Begin();
  CHECK(attempts.MayBegin());
  attempts.Begin();
  CHECK_FALSE(attempts.MayBegin());
}

TEST_CASE("attempts: where one denies us, one other is asked at most, and it is the reason") {
  Attempts attempts(kStart + 5s, 10);
  attempts.Begin();
  SUBCASE("it is asked afterwards, and does not do") {
    attempts.Failed(CloseReason::kDenied);
    REQUIRE(attempts.MayBegin());
    attempts.Begin();
    attempts.Failed(CloseReason::kConnectRefused);
    CHECK_FALSE(attempts.MayBegin());
    CHECK_FALSE(attempts.IsDenied());
    CHECK(attempts.Verdict(true) == CloseReason::kDenied);
  }
  SUBCASE("it is asked already") {
    attempts.Begin();
    attempts.Failed(CloseReason::kDenied, /*another=*/true);
    CHECK_FALSE(attempts.MayBegin());
    CHECK_FALSE(attempts.IsDenied());
  }
  SUBCASE("it denies us, too") {
    attempts.Failed(CloseReason::kDenied);
    attempts.Begin();
    attempts.Failed(CloseReason::kDenied);
    CHECK_FALSE(attempts.MayBegin());
    CHECK(attempts.IsDenied());
  }
}

}  // namespace
}  // namespace mooring::data
