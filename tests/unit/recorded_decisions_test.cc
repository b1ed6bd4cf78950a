// Our decision on intentions against what an agent of Consul 1.21 said to the same questions
// (tests/data/consul-1.21).
#include <doctest/doctest.h>

#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

#include "authz/consul/api.h"
#include "authz/intention.h"
#include "authz/spiffe.h"

namespace mooring::authz {
namespace {

TEST_CASE(
    "recorded decisions: none differs from the agent's, but for entries that only layer 7 can "
    "judge") {
  std::ifstream file(MOORING_SOURCE_ROOT "/tests/data/consul-1.21/decisions.jsonl");
  REQUIRE(file.is_open());
  int questions = 0;
  int stricter = 0;
  for (std::string line; std::getline(file, line);) {
    const nlohmann::json question = nlohmann::json::parse(line);
    const std::string name = question.at("destination");
    const nlohmann::json body{{name, question.at("match")}};
    CAPTURE(line);
    const auto entries = ParseIntentionMatch(body.dump(), name);
    REQUIRE(entries.has_value());
    const auto source = ParseServiceId(question.at("source_uri").get<std::string>());
    REQUIRE(source.has_value());
    const bool open = question.at("default") == "allow";
    const Decision decision =
        IntentionSet(*entries).Decide(*source, open ? DefaultPolicy::kAllow : DefaultPolicy::kDeny);
    ++questions;
    if (decision.allowed == question.at("authorized").get<bool>()) continue;
    // README, "Intentions": entries with JWT requirements deny whom they cover.
    CHECK_FALSE(decision.allowed);
    CHECK(decision.reason.find("cannot be judged here and counts as deny: JWT requirement") !=
          std::string::npos);
    ++stricter;
  }
  CHECK(questions == 972);
  CHECK(stricter > 0);
}

}  // namespace
}  // namespace mooring::authz
