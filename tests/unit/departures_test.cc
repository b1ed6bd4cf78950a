// Who has left by the catalog's word.
#include "proxy/control/departures.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

namespace mooring::control {
namespace {

using namespace std::chrono_literals;

const net::MonotonicTime kStart{std::chrono::hours(1)};

enum class Health { kPassing, kWarning, kUndecided, kCritical, kMaintenance };

authz::Instance Named(const std::string& id, Health health = Health::kPassing) {
  authz::Instance instance;
  instance.node = "n";
  instance.id = id;
  instance.warning = health == Health::kWarning;
  instance.critical = health > Health::kWarning;
  instance.undecided = health == Health::kUndecided;
  instance.maintenance = health == Health::kMaintenance;
  return instance;
}

// Left is who has left, and why: "a: why; b: why".
struct World {
  std::string Left(const std::vector<authz::Instance>& listed, net::MonotonicTime now,
                   bool absence_counts = true, const Departures::Chosen& chosen = nullptr) {
    const auto departed = departures.Take(listed, chosen, "primary", absence_counts, now);
    std::string text;
    if (!departed) return text;
    CHECK_FALSE(departed->why.empty());
    for (const auto& [key, why] : departed->why)
      text += (text.empty() ? "" : "; ") + key.second + ": " + why;
    return text;
  }
  Departures departures{60s};
};

TEST_CASE("departures: a verdict, maintenance, a lost tag and removal are words, others none") {
  struct Row {
    Health health;
    const char* left;
  };
  for (const Row& row :
       {Row{Health::kPassing, ""}, Row{Health::kWarning, ""}, Row{Health::kUndecided, ""},
        Row{Health::kCritical, "a: its checks are critical"},
        Row{Health::kMaintenance, "a: it is in maintenance"}}) {
    World world;
    CHECK(world.Left({Named("a"), Named("b")}, kStart) == "");
    CHECK(world.Left({Named("a", row.health), Named("b")}, kStart + 1s) == row.left);
  }
  World gone;
  gone.Left({Named("a"), Named("b")}, kStart);
  CHECK(gone.Left({Named("b")}, kStart + 1s, /*absence_counts=*/false) == "");
  CHECK(gone.Left({Named("b")}, kStart + 2s) == "a: the catalog lists it no more");
  World retagged;
  const auto chosen = [](const authz::Instance& instance) { return instance.id == "b"; };
  retagged.Left({Named("a"), Named("b")}, kStart);
  CHECK(retagged.Left({Named("a"), Named("b")}, kStart + 1s, true, chosen) ==
        "a: it has no tag primary any more");
}

TEST_CASE("departures: who was never in has not left") {
  World world;
  CHECK(world.Left({Named("a", Health::kCritical)}, kStart) == "");
  CHECK(world.Left({}, kStart + 1s) == "");
}

TEST_CASE("departures: a word that absence does not undo stays while it does not count") {
  World world;
  world.Left({Named("a")}, kStart);
  world.Left({Named("a", Health::kCritical)}, kStart + 1s);
  CHECK(world.Left({}, kStart + 2s, /*absence_counts=*/false) == "a: its checks are critical");
}

TEST_CASE("departures: who is back has not left, and who leaves again soon does so later") {
  World world;
  world.Left({Named("a")}, kStart);
  CHECK(world.Left({Named("a", Health::kCritical)}, kStart + 1s) != "");
  CHECK(world.Left({Named("a")}, kStart + 2s) == "");
  CHECK(world.Left({Named("a", Health::kCritical)}, kStart + 3s) == "");
  REQUIRE(world.departures.Next() == kStart + 6s);
  CHECK(world.Left({Named("a", Health::kCritical)}, kStart + 6s) == "a: its checks are critical");
}

TEST_CASE("departures: one that has left is forgotten, and then new") {
  World world;
  world.Left({Named("a")}, kStart);
  CHECK(world.Left({}, kStart + 1s) != "");
  CHECK(world.Left({}, kStart + 60s) != "");
  CHECK(world.Left({}, kStart + 61s) == "");
  CHECK(world.Left({Named("a", Health::kCritical)}, kStart + 62s) == "");
}

}  // namespace
}  // namespace mooring::control
