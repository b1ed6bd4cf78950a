// How an upstream follows the catalog: tags, departures, nearness, and who waits for changes first.
#include <doctest/doctest.h>

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "proxy/control/upstream_source.h"
#include "tests/unit/upstream_fixture.h"

namespace mooring::control {
namespace {

using namespace std::chrono_literals;
using test::Desk;
using test::Index;
using test::Instance;
using test::kHealth;
using test::kOwn;
using test::kTags;
using test::List;
using World = test::UpstreamWorld;

// Tags is what health/service says: the tags of app-1, app-2, ... on node n1.
std::string Tags(const std::map<int, std::string>& tags) {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& [port, tag] : tags) {
    list.push_back({{"Node", {{"Node", "n1"}}},
                    {"Service", {{"ID", "app-" + std::to_string(port)}, {"Tags", {tag, "v1"}}}}});
  }
  return list.dump();
}

std::string Left(const World& world) {
  std::string left;
  if (const auto departed = world.source->Rules()->departed) {
    for (const auto& [key, why] : departed->why)
      left += (left.empty() ? "" : "; ") + key.second + ": " + why;
  }
  return left;
}

void Primary(config::UpstreamSettings* settings) {
  settings->select = "primary";
  settings->on_departure = config::OnDeparture::kClose;
}

TEST_CASE("upstream source: of a selected tag, only instances whose app carries it are used") {
  World world(Primary);
  world.answer = test::Ok(List({1, 2}), Index(7));
  world.tags.clear();  // not told yet
  world.Await([&] { return world.here.desk.Asked(kTags) > 0; });
  world.Pass(1s);
  CHECK_FALSE(world.source->Rules()->known);
  CHECK_FALSE(world.source->Answered());
  world.here.desk.Say(kTags, test::Ok(Tags({{1, "replica"}, {2, "Primary"}}), Index(8)));
  world.AwaitPorts({2});
  CHECK(world.source->Answered());
  CHECK(world.source->Rules()->listed == std::array<std::size_t, data::kNearnesses>{0, 0, 1});
  CHECK(world.source->tagged()->listed() == 2);
}

TEST_CASE("upstream source: a retag moves the selection, and who lost the tag has left") {
  World world(Primary);
  world.answer = test::Ok(List({1, 2}), Index(7));
  world.tags = test::Ok(Tags({{1, "primary"}, {2, "replica"}}), Index(7));
  world.AwaitPorts({1});
  CHECK(Left(world) == "");
  world.Tell(test::Ok(Tags({{1, "replica"}, {2, "replica"}}), Index(8)), kTags);
  world.AwaitPorts({});
  CHECK(Left(world) == "db-1: it has no tag primary any more");
  world.Tell(test::Ok(Tags({{1, "replica"}, {2, "primary"}}), Index(9)), kTags);
  world.AwaitPorts({2});
  // Back and forth in a moment: what holds stays, until the word has been the same for a while.
  const net::MonotonicTime flapped = world.here.loop.now();
  world.Tell(test::Ok(Tags({{1, "primary"}, {2, "replica"}}), Index(10)), kTags);
  world.Await([&] { return world.source->tagged()->pending() == 2; });
  CHECK(world.Ports() == std::vector{2});
  world.AwaitPorts({1});
  CHECK(world.here.loop.now() - flapped >= Damper::kFirstWait);
  CHECK(Left(world) == "db-2: it has no tag primary any more");
}

TEST_CASE("upstream source: without on_departure nobody has left") {
  World world;
  world.answer = test::Ok(List({1, 2}), Index(7));
  world.AwaitPorts({1, 2});
  world.Tell(test::Ok(List({2}), Index(8)));
  world.AwaitPorts({2});
  CHECK_FALSE(world.source->Rules()->departed);
  CHECK_FALSE(world.source->FollowsDepartures());
}

TEST_CASE("upstream source: an agent that is away, or started anew, says of nobody that he left") {
  World world([](config::UpstreamSettings* settings) {
    settings->on_departure = config::OnDeparture::kClose;
  });
  world.answer = test::Ok(List({1, 2}), Index(7));
  world.AwaitPorts({1, 2});
  const auto left_within = [&](net::milliseconds time) {
    world.Pass(time);
    return Left(world);
  };
  SUBCASE("away") {
    world.answer = Desk::kHangUp;
    world.Tell(Desk::kHangUp);
    CHECK(left_within(60s) == "");
  }
  SUBCASE("it answers errors") {
    world.answer = test::Says(500, "No cluster leader");
    world.Tell(world.answer);
    CHECK(left_within(60s) == "");
  }
  SUBCASE("back with nobody, and after a while with one of them") {
    world.answer = test::Ok("[]", Index(3));
    world.Tell(Desk::kHangUp);
    CHECK(left_within(60s) == "");
    CHECK(world.Ports().empty());  // for new ones it is believed
    world.Tell(test::Ok(List({2}), Index(4)));
    world.AwaitPorts({2});
    CHECK(left_within(9s) == "");
    CHECK(left_within(2s) == "db-1: the catalog lists it no more");
  }
  SUBCASE("gone, without a loss") {
    world.Tell(test::Ok(List({2}), Index(8)));
    world.AwaitPorts({2});
    CHECK(Left(world) == "db-1: the catalog lists it no more");
  }
}

TEST_CASE("upstream source: who is missing in an answer that ACLs have filtered has not left") {
  const std::string filtered = "X-Consul-Results-Filtered-By-Acls: true\r\n";
  World world([](config::UpstreamSettings* settings) {
    settings->on_departure = config::OnDeparture::kClose;
  });
  world.answer = test::Ok(List({1, 2}), Index(7) + filtered);
  world.AwaitPorts({1, 2});
  world.Tell(test::Ok(List({2}), Index(8) + filtered));
  world.AwaitPorts({2});
  world.Pass(60s);
  CHECK(Left(world) == "");
}

TEST_CASE("upstream source: endpoints say how near they are, and the rules how many are listed") {
  World world;
  nlohmann::json list = nlohmann::json::array({Instance(1), Instance(2), Instance(3), Instance(4)});
  list[1]["Node"]["Node"] = list[2]["Node"]["Node"] = "n2";
  list[2]["Service"]["Locality"] = {{"Region", "eu"}, {"Zone", "z1"}};
  list[3]["Node"] = {
      {"Node", "n3"}, {"Address", "127.0.0.1"}, {"Datacenter", "dc1"}, {"Meta", {{"zone", "z1"}}}};
  list[3]["Checks"] = {{{"Status", "critical"}, {"Output", "refused"}}};
  world.answer = test::Ok(list.dump(), Index(7));
  world.AwaitPorts({1, 2, 3});
  const auto near = [&] {
    std::vector<data::Nearness> all;
    for (const data::Endpoint& endpoint : world.source->Rules()->endpoints)
      all.push_back(endpoint.nearness);
    return all;
  };
  using data::Nearness;
  CHECK(near() == std::vector{Nearness::kFar, Nearness::kFar, Nearness::kFar});
  world.source->SetOwnIdentity("td.consul", kOwn);
  world.source->SetPlace({"n1", {"eu", "z1"}});
  CHECK(near() == std::vector{Nearness::kNode, Nearness::kZone, Nearness::kFar});
  CHECK(world.Ports() == std::vector{1, 3, 2});
  CHECK(world.source->Rules()->listed == std::array<std::size_t, data::kNearnesses>{1, 2, 1});
}

TEST_CASE("upstream source: one whose sessions end by the catalog's word waits for it first") {
  // One that nobody uses, among seven in use, with three seats for all.
  test::Clock clock;
  test::AtDesk here([](const std::string& target) {
    return test::Blocks(target) ? std::string() : test::Ok("[]", Index(7));
  });
  std::vector<std::unique_ptr<Asker>> claimed;
  using Own = AgentConnections::Own;
  for (const Own own : {Own::kConfiguration, Own::kRoots, Own::kLeaf, Own::kIntentions}) {
    claimed.push_back(here.agent->NewAsker(own));
    claimed.back()->Claim(true);
  }
  std::vector<std::unique_ptr<UpstreamSource>> sources;
  for (int i = 0; i < 8; ++i) {
    config::UpstreamSettings settings;
    settings.name = "db" + std::to_string(i);
    if (i == 7) Primary(&settings);
    sources.push_back(
        std::make_unique<UpstreamSource>(here.loop, here.log, here.agent.get(), settings,
                                         UpstreamSource::Target{.service = settings.name}, 5s, 0s,
                                         std::make_shared<data::UpstreamMemory>(), [] {}));
    sources.back()->Start();
  }
  CHECK(here.link->connections().turns().players() == 9);  // its watch for tags is one more
  // Each second the others are used, and each three the agent ends all waits.
  int seconds = 0;
  net::Timer second(here.loop, [&] {
    for (std::size_t i = 0; i + 1 < sources.size(); ++i)
      sources[i]->Rules()->use->Note(here.loop.now());
    if (++seconds % 3 == 0) here.desk.Say("/v1/health", test::Ok("[]", Index(7)));
    if (seconds > 6) CHECK(sources.back()->SeesAtOnce());
    second.Start(1s);
  });
  second.Start(1s);
  clock.RunUntil(here.loop, [&] { return seconds == 30; });
  CHECK(here.desk.Asked("/health/connect/db7?index=") >= 7);
  CHECK(here.desk.Asked("/health/service/db7?index=") >= 7);
}

}  // namespace
}  // namespace mooring::control
