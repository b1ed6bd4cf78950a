// How the attempts of one search share its time, and what it says at its end.
#include "proxy/data/attempts.h"

#include <doctest/doctest.h>

#include <chrono>

namespace mooring::data {
namespace {

using namespace std::chrono_literals;

const net::MonotonicTime kStart{std::chrono::hours(1)};

TEST_CASE("attempts: one endpoint has all of the time") {
  Attempts attempts(kStart + 5s);
  attempts.Begin();
  CHECK(attempts.Share(kStart, 1) == 5s);
  CHECK(attempts.Share(kStart + 2s, 1) == 3s);
  CHECK(attempts.Left(kStart + 5s) == 0ms);
  CHECK(attempts.Left(kStart + 6s) == -1s);
}

TEST_CASE("attempts: of several, each has its part of what is left, and none less than a third") {
  Attempts two(kStart + 6s);
  two.Begin();
  CHECK(two.Share(kStart, 2) == 3s);
  two.Failed(CloseReason::kConnectTimeout);
  two.Begin();
  CHECK(two.Share(kStart + 3s, 2) == 3s);

  Attempts many(kStart + 9s);
  many.Begin();
  CHECK(many.Share(kStart, 100) == 3s);
  many.Failed(CloseReason::kConnectTimeout);
  many.Begin();
  CHECK(many.Share(kStart + 3s, 100) == 2s);
}

TEST_CASE("attempts: a list that has become shorter leaves the time to the attempt under way") {
  Attempts attempts(kStart + 6s);
  for (int i = 0; i < 3; ++i) attempts.Begin();
  CHECK(attempts.Share(kStart, 1) == 6s);
  CHECK(attempts.Share(kStart, 0) == 6s);
}

TEST_CASE(
    "attempts: the reason is that of the one endpoint, or that none of several did, or a shortage "
    "of ours") {
  Attempts none(kStart);
  CHECK(none.Verdict(true) == CloseReason::kNoEndpoint);

  Attempts one(kStart);
  one.Begin();
  one.Failed(CloseReason::kSanMismatch);
  CHECK(one.Verdict(true) == CloseReason::kSanMismatch);

  Attempts two(kStart);
  two.Begin();
  two.Failed(CloseReason::kConnectRefused);
  two.Begin();
  two.Failed(CloseReason::kConnectTimeout);
  CHECK(two.Verdict(true) == CloseReason::kConnectFailed);
  CHECK(two.Verdict(false) == CloseReason::kConnectTimeout);  // the time was over before the list
  two.Failed(CloseReason::kOutOfResources);
  CHECK(two.Verdict(true) == CloseReason::kOutOfResources);
}

}  // namespace
}  // namespace mooring::data
