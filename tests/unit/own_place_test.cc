// Where we are, by what the agent says, and who is near.
#include "proxy/control/own_place.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

#include "tests/unit/watch_fixture.h"

namespace mooring::control {
namespace {

using namespace std::chrono_literals;
using data::Nearness;

TEST_CASE("own place: how near an instance is, by table") {
  const Place here{"n1", {"eu", "z1"}};
  const Place zone_alone{"", {"", "z1"}};
  struct Row {
    const char* what;
    Place own;
    const char* datacenter;
    const char* node;
    authz::Locality locality;
    Nearness nearness;
  };
  const std::vector<Row> rows = {
      {"own node", here, "dc1", "n1", {"us", "z9"}, Nearness::kNode},
      {"own zone", here, "dc1", "n2", {"eu", "z1"}, Nearness::kZone},
      {"own zone, by a Meta without region", here, "dc1", "n2", {"", "z1"}, Nearness::kZone},
      {"that zone of another region", here, "dc1", "n2", {"us", "z1"}, Nearness::kFar},
      {"another zone", here, "dc1", "n2", {"eu", "z2"}, Nearness::kFar},
      {"no zone known of it", here, "dc1", "n2", {"eu", ""}, Nearness::kFar},
      {"another datacenter has such a node, too", here, "dc2", "n1", {"eu", "z1"}, Nearness::kFar},
      {"own node not known", zone_alone, "dc1", "n1", {"eu", "z1"}, Nearness::kZone},
      {"nothing known", {}, "dc1", "", {}, Nearness::kFar},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    authz::Instance instance;
    instance.datacenter = row.datacenter;
    instance.node = row.node;
    instance.locality = row.locality;
    CHECK(NearnessOf(instance, row.own, "dc1") == row.nearness);
  }
}

constexpr char kChecks[] = R"({"service:web-1":{"Node":"n1","CheckID":"service:web-1"}})";
constexpr char kNode[] = R"({"Node":{"Node":"n1","Meta":{"zone":"z1"}},"Services":{}})";

TEST_CASE("own place: the node is that of the agent's checks, the zone that node's") {
  std::string checks = "{}";
  int changes = 0;
  test::Watches world([&](const std::string& target) {
    if (target.starts_with("/v1/agent/checks")) return test::Ok(checks);
    return test::Ok(target.starts_with("/v1/catalog/node/n1") ? kNode : "null");
  });
  OwnPlace own(world.loop, world.log, *world.agent, [&] { ++changes; });
  own.Start();
  world.Until([&] { return world.desk.Asked("/v1/agent/checks") > 0; });
  world.Pass(1s);
  CHECK(own.place() == Place{});
  checks = kChecks;  // the first one is registered
  world.Until([&] { return own.place().locality.zone == "z1"; });
  CHECK(own.place() == Place{"n1", {"", "z1"}});
  CHECK(changes == 2);
  // What our registration says beats the node's word.
  own.SetRegistered({"eu", "z7"});
  CHECK(own.place() == Place{"n1", {"eu", "z7"}});
  own.SetRegistered({});
  // An agent that shows no check any more has moved nobody.
  checks = "{}";
  const std::size_t asked = world.desk.Asked("/v1/agent/checks");
  world.Pass(301s);
  CHECK(world.desk.Asked("/v1/agent/checks") > asked);
  CHECK(own.place() == Place{"n1", {"", "z1"}});
  CHECK(changes == 2);
}

TEST_CASE("own place: what may not be read is not known, and no error") {
  test::Watches world([](const std::string& target) {
    return target.starts_with("/v1/agent/checks") ? test::Ok(kChecks)
                                                  : test::Says(403, "Permission denied");
  });
  OwnPlace own(world.loop, world.log, *world.agent, [] {});
  own.Start();
  world.Until([&] { return own.Watches().size() == 2 && own.Watches()[1]->state().updates > 0; });
  CHECK(own.place() == Place{"n1", {}});
  for (const Watch* watch : own.Watches()) CHECK(watch->state().refusal.empty());
}

}  // namespace
}  // namespace mooring::control
