#include "proxy/control/upstream_source.h"

#include <doctest/doctest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <vector>

#include "tests/unit/upstream_fixture.h"

namespace mooring::control {
namespace {

using namespace std::chrono_literals;
using test::Desk;
using test::Index;
using test::Says;

using test::Instance;
using test::kOwn;
using test::kQuery;
using test::kSlack;
using test::List;
using World = test::UpstreamWorld;

TEST_CASE(
    "upstream source: instances become endpoints, with an identity to prove once our own is "
    "known") {
  World world;
  CHECK_FALSE(world.source->Rules()->known);
  CHECK_FALSE(world.source->Answered());
  world.AwaitPorts({1});
  CHECK(world.source->Answered());
  CHECK(world.source->Rules()->identity == nullptr);
  CHECK(world.source->Rules()->endpoints.front().identity == nullptr);
  world.source->SetOwnIdentity("td.consul", kOwn);
  REQUIRE(world.source->Rules()->identity);
  CHECK(world.source->Rules()->identity->Uri() == "spiffe://td.consul/ns/default/dc/dc1/svc/db");
  CHECK(world.source->Rules()->endpoints.front().identity == world.source->Rules()->identity);
  const int before = world.changes;
  world.source->SetOwnIdentity("td.consul", kOwn);
  CHECK(world.changes == before);
  CHECK(world.source->Complaint() == "");
}

TEST_CASE(
    "upstream source: a change is taken up when the agent tells it, and one without news changes "
    "nothing") {
  World world;
  world.AwaitPorts({1});
  world.Tell(test::Ok(List({1, 2}), Index(8)));
  world.AwaitPorts({1, 2});
  const int before = world.changes;
  world.Tell(test::Ok(List({1, 2}), Index(9)));
  world.Tell(test::Ok(List({}), Index(10)));
  world.AwaitPorts({});
  CHECK(world.changes == before + 1);
}

TEST_CASE(
    "upstream source: an empty list is believed at once, but two seconds later where it follows a "
    "loss") {
  World world;
  world.AwaitPorts({1});
  world.answer = test::Ok("[]", Index(3));
  world.Tell(Desk::kHangUp);
  const std::size_t asked = world.here.desk.questions.size();
  world.Await([&] {
    return world.here.desk.questions.size() > asked && world.source->watch()->state().index == 3;
  });
  const net::MonotonicTime heard = world.here.loop.now();
  CHECK(world.Ports() == std::vector{1});
  world.AwaitPorts({});
  CHECK(world.here.loop.now() - heard >= 1'990ms);
  CHECK(world.here.loop.now() - heard <= 2s + kSlack);
}

TEST_CASE("upstream source: who is listed again within the two seconds was never away") {
  World world;
  world.AwaitPorts({1});
  const int before = world.changes;
  world.answer = test::Ok("[]", Index(3));
  world.Tell(Desk::kHangUp);
  world.Await([&] { return world.source->watch()->state().index == 3; });
  world.Tell(test::Ok(List({1}), Index(4)));
  world.Pass(10s);
  CHECK(world.Ports() == std::vector{1});
  CHECK(world.changes == before);
}

TEST_CASE(
    "upstream source: a failing agent is asked again after growing pauses, and what was learnt "
    "stays") {
  World world;
  world.AwaitPorts({1});
  world.answer = Says(500, "rpc error");
  world.Tell(Says(500, "rpc error"));
  const std::size_t before = world.here.desk.questions.size();
  world.Pass(80s);
  // 1/4, 1/2, 1, 2, 4, 8, 8, ... s, less up to half.
  CHECK(world.here.desk.questions.size() - before >= 12);
  CHECK(world.here.desk.questions.size() - before <= 28);
  CHECK(world.Ports() == std::vector{1});
  world.answer = test::Ok(List({2}), Index(9));
  world.AwaitPorts({2});
}

TEST_CASE(
    "upstream source: a query is asked every ten seconds, less up to one, and says whose identity "
    "is to be proven") {
  World world([](config::UpstreamSettings* settings) {
    settings->type = authz::UpstreamType::kPreparedQuery;
    settings->datacenter = "dc2";
  });
  world.answer = test::Ok(
      nlohmann::json{{"Service", "db-real"}, {"Datacenter", "dc3"}, {"Nodes", {Instance(4)}}}
          .dump());
  world.AwaitPorts({4});
  world.source->SetOwnIdentity("td.consul", kOwn);
  CHECK(world.source->Rules()->identity->Uri() ==
        "spiffe://td.consul/ns/default/dc/dc3/svc/db-real");
  world.Pass(60s);
  const auto all = world.here.desk.All(kQuery);
  CHECK(all.front().target.find("connect=true&dc=dc2") != std::string::npos);
  CHECK(all.size() >= 6);
  CHECK(all.size() <= 8);
  for (std::size_t i = 1; i < all.size(); ++i) {
    CHECK(all[i].at - all[i - 1].at >= 9s);
    CHECK(all[i].at - all[i - 1].at <= 10s + kSlack);
  }
}

TEST_CASE("upstream source: a refusal is an answer, and a complaint until there is a better one") {
  World world;
  world.answer = Says(403, "Permission denied");
  world.Await([&] { return world.source->Answered(); });
  CHECK(world.source->Complaint().find("403") != std::string::npos);
  CHECK_FALSE(world.source->Rules()->known);
  world.answer = test::Ok(List({1}), Index(7));
  world.AwaitPorts({1});
  CHECK(world.source->Complaint() == "");
}

TEST_CASE(
    "upstream source: the catalog's other spelling is a complaint, or is accepted where any case "
    "is") {
  for (const bool any_case : {false, true}) {
    CAPTURE(any_case);
    World world([&](config::UpstreamSettings* settings) { settings->any_case = any_case; });
    world.answer = test::Ok(nlohmann::json::array({Instance(1, "Db")}).dump(), Index(7));
    world.AwaitPorts({1});
    world.source->SetOwnIdentity("td.consul", kOwn);
    CHECK((world.source->Complaint() == "") == any_case);
    CHECK(world.source->Rules()->identity->service == (any_case ? "Db" : "db"));
  }
}

TEST_CASE(
    "upstream source: in another datacenter an instance is where its WAN address says, once we "
    "know where we are") {
  World world([](config::UpstreamSettings* settings) { settings->datacenter = "dc2"; });
  nlohmann::json far = Instance(1);
  far["Node"]["Datacenter"] = "dc2";
  far["Service"]["Address"] = "127.0.0.1";
  far["Service"]["TaggedAddresses"] = {{"wan", {{"Address", "127.0.0.9"}, {"Port", 443}}}};
  world.answer = test::Ok(nlohmann::json::array({far}).dump(), Index(7));
  world.AwaitPorts({1});
  world.source->SetOwnIdentity("td.consul", kOwn);
  CHECK(world.Ports() == std::vector{443});
  CHECK(world.source->Rules()->endpoints.front().address.Text() == "127.0.0.9:443");
  CHECK(world.source->Rules()->identity->datacenter == "dc2");
}

TEST_CASE("upstream source: how connections are spread and who is ejected stands in the rules") {
  World world([](config::UpstreamSettings* settings) {
    settings->balance = config::Balance::kSticky;
    settings->prefer_near = 5;
    settings->eject_after = 7;
    settings->eject_time = 2s;
    settings->eject_longest = 9s;
    settings->eject_quiet = 4s;
    settings->eject_enforced = 30;
    settings->eject_share = 20;
  });
  const data::UpstreamRules& rules = *world.source->Rules();
  CHECK(rules.balance == data::Balance::kSticky);
  CHECK(rules.prefer_near == 5);
  CHECK(rules.ejection.after == 7);
  CHECK(rules.ejection.time == 2s);
  CHECK(rules.ejection.longest == 9s);
  CHECK(rules.ejection.quiet == 4s);
  CHECK(rules.ejection.enforced == 30);
  CHECK(rules.ejection.share == 20);
  CHECK(rules.outliers == world.source->memory()->outliers);
  CHECK(rules.kept == world.source->memory()->kept);
}

TEST_CASE(
    "upstream source: an instance that warns is used with its warning weight, unless passing ones "
    "alone are wanted") {
  for (const bool query : {false, true}) {
    for (const bool passing_only : {false, true}) {
      CAPTURE(query);
      CAPTURE(passing_only);
      World world([&](config::UpstreamSettings* settings) {
        if (query) settings->type = authz::UpstreamType::kPreparedQuery;
        settings->passing_only = passing_only;
      });
      nlohmann::json list = nlohmann::json::array({Instance(1), Instance(2), Instance(3)});
      for (const std::size_t warns : {std::size_t{1}, std::size_t{2}}) {
        list[warns]["Checks"] = {{{"Status", "warning"}}};
        list[warns]["Service"]["Weights"] = {{"Passing", 9}, {"Warning", warns == 1 ? 4 : 0}};
      }
      const nlohmann::json answer = {{"Service", "db"}, {"Datacenter", "dc1"}, {"Nodes", list}};
      world.answer = test::Ok(query ? answer.dump() : list.dump(), Index(7));
      world.AwaitPorts(passing_only ? std::vector{1} : std::vector{1, 2});
      if (!passing_only) CHECK(world.source->Rules()->endpoints[1].weight == 4);
    }
  }
}

TEST_CASE("upstream source: endpoints of the file need nobody's answer") {
  test::Clock clock;
  test::AtDesk here([](const std::string&) { return std::string(); });
  config::UpstreamSettings settings;
  settings.name = "db";
  settings.endpoints = {net::Address::Tcp("127.0.0.1", 5), net::Address::Tcp("127.0.0.2", 6)};
  UpstreamSource source(here.loop, here.log, nullptr, settings,
                        UpstreamSource::Target{.service = settings.name}, 5s, 0s,
                        std::make_shared<data::UpstreamMemory>(), [] {});
  source.Start();
  CHECK(source.Answered());
  CHECK(source.Rules()->known);
  CHECK(source.Rules()->endpoints.size() == 2);
  CHECK(source.watch() == nullptr);
}

}  // namespace
}  // namespace mooring::control
