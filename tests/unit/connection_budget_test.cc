// How many connections to the agent so many services may have, and who waits on one of its own.
#include "proxy/control/connection_budget.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace mooring::control {
namespace {

using Own = ConnectionBudget::Own;

// Full is a budget with the claims of so many services that have all there is.
ConnectionBudget Full(unsigned services, unsigned of_one = 8) {
  ConnectionBudget budget(of_one);
  budget.Claim(Own::kRoots);
  for (unsigned i = 0; i < services; ++i) {
    budget.AddService();
    for (const Own own : {Own::kConfiguration, Own::kLeaf, Own::kIntentions}) budget.Claim(own);
  }
  return budget;
}

TEST_CASE("connection budget: n services have at most 3n + 5 connections, and never more than 16") {
  for (unsigned n = 1; n <= 60; ++n) {
    CAPTURE(n);
    const ConnectionBudget budget = Full(n);
    CHECK(budget.limit() == std::min(3 * n + 5, 16u));
    CHECK(budget.own() + budget.shared() + budget.seats() <= budget.limit());
    CHECK(budget.shared() >= 1);
    CHECK(budget.seats() >= 1);
  }
}

TEST_CASE(
    "connection budget: what the operator grants one service is the least, and more than 16 if he "
    "says so") {
  CHECK(Full(1, 6).limit() == 6);
  CHECK(Full(1, 6).seats() == 1);
  CHECK(Full(1, 3).limit() == 6);
  CHECK(Full(2, 6).limit() == 9);
  CHECK(Full(40, 6).limit() == 16);
  CHECK(Full(1, 100).limit() == 100);
  CHECK(Full(40, 100).limit() == 100);
}

TEST_CASE(
    "connection budget: all questions wait while that fits; in a crowd roots and the list of "
    "intentions do") {
  for (unsigned n = 1; n <= 4; ++n) {
    CAPTURE(n);
    const ConnectionBudget budget = Full(n);
    CHECK_FALSE(budget.Crowded());
    for (const Own own : {Own::kConfiguration, Own::kRoots, Own::kLeaf, Own::kIntentions})
      CHECK(budget.Grants(own));
    CHECK_FALSE(budget.Grants(Own::kNone));
  }
  ConnectionBudget budget = Full(5);
  CHECK(budget.Crowded());
  for (const Own own : {Own::kConfiguration, Own::kLeaf, Own::kIntentions})
    CHECK_FALSE(budget.Grants(own));
  CHECK(budget.Grants(Own::kRoots));
  CHECK(budget.Grants(Own::kIntentionList));
  CHECK(budget.own() == 1);
  budget.Claim(Own::kIntentionList);
  CHECK(budget.own() == 2);
  CHECK(budget.shared() == ConnectionBudget::kShortInCrowd);
  CHECK(budget.seats() == 16 - 2 - ConnectionBudget::kShortInCrowd);
}

TEST_CASE(
    "connection budget: a crowd is there from the start, and ends when enough of its services have "
    "gone") {
  ConnectionBudget budget(8);
  for (int i = 0; i < 5; ++i) budget.AddService();
  CHECK(budget.Crowded());
  CHECK_FALSE(budget.Grants(Own::kConfiguration));
  budget.RemoveService();
  CHECK_FALSE(budget.Crowded());
  CHECK(budget.Grants(Own::kConfiguration));
}

}  // namespace
}  // namespace mooring::control
