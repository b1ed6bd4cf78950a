// CloseReason: the list is closed, each has a name and a counter of its own.
#include "proxy/data/close_reason.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

#include "proxy/data/stats.h"

using namespace mooring;
using data::CloseReason;

TEST_CASE("close reason: each has a name of its own and a counter of its own") {
  data::ReasonCounts counts;
  std::set<std::string> names;
  for (std::size_t i = 0; i < data::kCloseReasons; ++i) {
    const auto reason = static_cast<CloseReason>(i);
    CHECK(data::CloseReasonName(reason) != std::string("unknown"));
    names.insert(data::CloseReasonName(reason));
    CHECK(counts[reason].value() == 0);
    counts[reason].Add(static_cast<std::int64_t>(i) + 1);
  }
  CHECK(names.size() == data::kCloseReasons);
  for (std::size_t i = 0; i < data::kCloseReasons; ++i) {
    CHECK(counts[static_cast<CloseReason>(i)].value() == static_cast<std::int64_t>(i) + 1);
  }
  CHECK(data::CloseReasonName(CloseReason::kReasons) == std::string("unknown"));
}

TEST_CASE(
    "close reason: what ends by itself or by a limit is no failure, what is refused or cut is") {
  CHECK_FALSE(data::IsFailure(CloseReason::kDone));
  CHECK_FALSE(data::IsFailure(CloseReason::kIdleTimeout));
  CHECK_FALSE(data::IsFailure(CloseReason::kProbe));
  CHECK_FALSE(data::IsFailure(CloseReason::kDeparted));
  CHECK(data::IsFailure(CloseReason::kDenied));
  CHECK(data::IsFailure(CloseReason::kRevoked));
  CHECK(data::IsFailure(CloseReason::kConnectRefused));
}
