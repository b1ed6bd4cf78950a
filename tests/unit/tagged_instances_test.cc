// Whose app carries a tag.
#include "proxy/control/tagged_instances.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

namespace mooring::control {
namespace {

using namespace std::chrono_literals;

const net::MonotonicTime kStart{std::chrono::hours(1)};
constexpr Absence::Answer kWhole{};
constexpr Absence::Answer kAfterLoss{false, true, false};
constexpr Absence::Answer kFiltered{false, false, true};
constexpr Absence::Answer kNobodyAfterLoss{true, true, false};

// Sidecar is one on node n that stands for that app, or for none that it names.
authz::Instance Sidecar(const std::string& app_id, const std::string& node = "n") {
  authz::Instance instance;
  instance.node = node;
  instance.id = "sidecar-of-" + app_id;
  instance.app_id = app_id;
  return instance;
}

// Selected are those of a, b and c that carry it.
std::string Selected(const TaggedInstances& tagged) {
  std::string ids;
  for (const std::string id : {"a", "b", "c"}) {
    if (tagged.Has(Sidecar(id))) ids += id;
  }
  return ids;
}

TEST_CASE("tagged instances: sidecars are joined by node and the ID of their app") {
  TaggedInstances tagged;
  CHECK_FALSE(tagged.known());
  tagged.Note({{"n", "a", true}, {"n", "b", false}, {"m", "c", true}}, kWhole, kStart);
  CHECK(tagged.known());
  CHECK(Selected(tagged) == "a");
  CHECK(tagged.Has(Sidecar("c", "m")));
  CHECK_FALSE(tagged.Has(Sidecar("c", "n")));
}

TEST_CASE("tagged instances: a sidecar that names no app stands for the only one of its node") {
  TaggedInstances tagged;
  tagged.Note({{"n", "a", true}, {"m", "b", true}, {"m", "c", true}, {"o", "d", false}}, kWhole,
              kStart);
  CHECK(tagged.Has(Sidecar("", "n")));
  CHECK_FALSE(tagged.Has(Sidecar("", "m")));  // which of the two?
  CHECK_FALSE(tagged.Has(Sidecar("", "o")));
  CHECK_FALSE(tagged.Has(Sidecar("", "p")));
}

TEST_CASE("tagged instances: a swap acts at once, in one step or in two, and its way back waits") {
  TaggedInstances tagged;
  tagged.Note({{"n", "a", true}, {"n", "b", false}}, kWhole, kStart);
  tagged.Note({{"n", "a", false}, {"n", "b", false}}, kWhole, kStart + 1s);
  CHECK(Selected(tagged) == "");
  tagged.Note({{"n", "a", false}, {"n", "b", true}}, kWhole, kStart + 2s);
  CHECK(Selected(tagged) == "b");
  CHECK_FALSE(tagged.Next(kStart + 2s));
  tagged.Note({{"n", "a", true}, {"n", "b", false}}, kWhole, kStart + 3s);
  CHECK(Selected(tagged) == "b");
  CHECK(tagged.pending() == 2);
  REQUIRE(tagged.Next(kStart + 3s) == kStart + 6s);
  tagged.Settle(kStart + 6s);
  CHECK(Selected(tagged) == "a");
}

TEST_CASE("tagged instances: who is gone has no tag, unless the agent may know less than before") {
  const std::vector<authz::AppInstance> both{{"n", "a", true}, {"n", "b", true}};
  TaggedInstances tagged;
  tagged.Note(both, kWhole, kStart);
  SUBCASE("gone") {
    tagged.Note({both[1]}, kWhole, kStart + 1s);
    CHECK(Selected(tagged) == "b");
  }
  SUBCASE("all gone") {
    tagged.Note({}, kWhole, kStart + 1s);
    CHECK(Selected(tagged) == "");
  }
  SUBCASE("a filtered answer") {
    tagged.Note({both[1]}, kFiltered, kStart + 1s);
    tagged.Settle(kStart + 1h);
    CHECK(Selected(tagged) == "ab");
    CHECK_FALSE(tagged.Next(kStart + 1s));
  }
  SUBCASE("an agent that was away") {
    tagged.Note({both[1]}, kAfterLoss, kStart + 1s);
    CHECK(Selected(tagged) == "ab");
    REQUIRE(tagged.Next(kStart + 1s) == kStart + 11s);
    tagged.Settle(kStart + 11s);
    CHECK(Selected(tagged) == "b");
  }
  SUBCASE("an agent that was away, and what it says of one that it lists") {
    tagged.Note({{"n", "a", false}}, kAfterLoss, kStart + 1s);
    CHECK(Selected(tagged) == "b");
  }
  SUBCASE("an agent that was away and lists nobody") {
    tagged.Note({}, kNobodyAfterLoss, kStart + 1s);
    tagged.Settle(kStart + 1h);
    CHECK(Selected(tagged) == "ab");
    tagged.Note({both[1]}, kWhole, kStart + 1h);
    CHECK(Selected(tagged) == "ab");
    tagged.Settle(kStart + 1h + 10s);
    CHECK(Selected(tagged) == "b");
  }
}

}  // namespace
}  // namespace mooring::control
