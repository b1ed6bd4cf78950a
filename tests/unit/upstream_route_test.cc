// Which target of its chain an upstream's connections go to.
#include "proxy/control/upstream_route.h"

#include <doctest/doctest.h>

#include <chrono>
#include <new>
#include <string>
#include <vector>

#include "tests/unit/counted_new.h"
#include "tests/unit/failing_new.h"
#include "tests/unit/route_fixture.h"

namespace mooring::control {
namespace {

using namespace std::chrono_literals;
using test::BeyondChain;
using test::ChainOf;
using test::ChainTo;
using test::kChainPath;
using test::kSlack;
using test::Says;
using World = test::RouteWorld;

const ChainTo kDb{.service = "db"};
const ChainTo kSpare{.service = "spare"};
const ChainTo kLast{.service = "last", .datacenter = "dc2"};
const ChainTo kPeers{.service = "db", .peer = "beta"};
constexpr char kLastKey[] = "last?dc=dc2";
constexpr char kNotFollowed[] = "part of a discovery chain is not followed";

std::string Good(const std::vector<ChainTo>& targets) { return test::Ok(ChainOf(targets)); }
// At is a chain that a question can wait on.
std::string At(int index, const std::vector<ChainTo>& targets) {
  return test::Ok(ChainOf(targets), test::Index(index));
}

std::string Uri(const World& world) {
  const auto identity = world.route->Rules()->identity;
  return identity ? identity->Uri() : "";
}

std::string Left(const World& world) {
  std::string left;
  if (const auto departed = world.route->Rules()->departed) {
    for (const auto& [key, why] : departed->why)
      left += (left.empty() ? "" : "; ") + key.second + ": " + why;
  }
  return left;
}

void CloseOnDeparture(config::UpstreamSettings* settings) {
  settings->on_departure = config::OnDeparture::kClose;
}

// FailedOver is a world whose connections have gone from db to spare.
void FailOver(World& world) {
  world.List("db", {1});
  world.List("spare", {2});
  world.route->Start();
  world.AwaitGoes("1");
  world.Tell("db", {});
  world.AwaitGoes("2");
}

}  // namespace

TEST_CASE("upstream route: the default chain is the upstream itself, asked for as without one") {
  World world(Good({kDb}));
  world.List("db", {1, 2});
  world.route->Start();
  CHECK_FALSE(world.route->Answered());
  CHECK(world.route->watch()->name() == "chain:db");
  world.AwaitGoes("1,2");
  CHECK(world.route->Answered());
  CHECK(Uri(world) == "spiffe://td.consul/ns/default/dc/dc1/svc/db");
  CHECK(world.route->Rules()->endpoints.front().server_name.empty());
  CHECK(world.route->watch()->name() == "upstream:db");
  CHECK(world.here.desk.questions.front().target == "/v1/discovery-chain/db?cached");
  CHECK(world.Names() == std::vector<std::string>{"db"});
  CHECK(world.route->FailedOver().empty());
  CHECK(world.route->Complaint().empty());
  CHECK(world.route->memory() == world.memory);
}

TEST_CASE("upstream route: a redirect is followed, with the other service's identity and name") {
  World world(Good({kSpare}));
  world.List("db", {1});
  world.List("spare", {2});
  world.route->Start();
  world.AwaitGoes("2");
  CHECK(Uri(world) == "spiffe://td.consul/ns/default/dc/dc1/svc/spare");
  CHECK(world.route->Rules()->endpoints.front().ServerName() ==
        "spare.default.dc1.internal.td.consul");
  CHECK(world.AskedFor("db") == 0);
  CHECK(world.Names() == std::vector{kSpare.Id()});
  CHECK(world.route->Active() == kSpare.Id());
  // an instance that has the upstream's name does not do for its target
  CHECK(world.route->FailedOver().empty());
  CHECK(world.route->settings().name == "db");
}

TEST_CASE("upstream route: a subset is asked for by its filter, and by a name of its own") {
  World world(Good({{.service = "db", .subset = "v1"}}));
  const std::string key = "db?filter=Service.Meta.version%20%3D%3D%201";
  world.List(key, {1});
  world.route->Start();
  world.AwaitGoes("1");
  CHECK(Uri(world) == "spiffe://td.consul/ns/default/dc/dc1/svc/db");
  CHECK(world.route->Rules()->endpoints.front().ServerName() ==
        "v1.db.default.dc1.internal.td.consul");
}

TEST_CASE("upstream route: who warns is left out of a subset that wants only who passes") {
  for (const bool only_passing : {false, true}) {
    CAPTURE(only_passing);
    World world(Good({{.service = "db", .subset = "v1", .only_passing = only_passing}}));
    nlohmann::json list = nlohmann::json::array({test::Instance(1), test::Instance(2)});
    list[0]["Checks"] = {{{"Status", "warning"}}};
    world.health["db?filter=Service.Meta.version%20%3D%3D%201"] =
        test::Ok(list.dump(), test::Index(7));
    world.route->Start();
    world.AwaitGoes(only_passing ? "2" : "1,2");
  }
}

TEST_CASE("upstream route: a target of another datacenter is asked for there and proves its own") {
  World world(Good({kLast}));
  world.List(kLastKey, {3});
  world.route->Start();
  world.AwaitGoes("3");
  CHECK(Uri(world) == "spiffe://td.consul/ns/default/dc/dc2/svc/last");
  CHECK(world.route->Rules()->endpoints.front().ServerName() ==
        "last.default.dc2.internal.td.consul");
}

TEST_CASE("upstream route: targets stand in for each other in order, the third not before needed") {
  World world(Good({kDb, kSpare, kLast}));
  world.List("db", {1});
  world.List("spare", {2});
  world.List(kLastKey, {3});
  world.route->Start();
  world.AwaitGoes("1");
  world.Pass(5s);
  CHECK(world.Followed() == std::vector{true, true, false});
  CHECK(world.AskedFor("last") == 0);
  world.Tell("spare", {});  // which matters to nobody yet
  world.Pass(1s);
  CHECK(world.Goes() == "1");
  CHECK(world.Followed() == std::vector{true, true, false});
  world.Tell("db", {});
  world.AwaitGoes("3");
  CHECK(world.Followed() == std::vector{true, true, true});
  CHECK(world.route->Active() == kLast.Id());
  CHECK(world.route->FailedOver() == "db has no healthy instance");
  CHECK(Uri(world) == "spiffe://td.consul/ns/default/dc/dc2/svc/last");
  world.Tell("spare", {2});
  world.AwaitGoes("2");
  CHECK(world.route->Complaint() ==
        "connections go to " + kSpare.Id() + ": db has no healthy instance");
  world.Tell("db", {1});
  world.AwaitGoes("1");
  CHECK(world.route->FailedOver().empty());
  CHECK(world.route->Complaint().empty());
  CHECK(world.Said("an upstream fails over") == 1);
  CHECK(world.Said("an upstream is back at a target that goes before") == 2);
  // They stay followed: what is known of them stays fresh.
  CHECK(world.Followed() == std::vector{true, true, true});
}

TEST_CASE("upstream route: with nobody anywhere the first target is where connections would go") {
  World world(Good({kDb, kSpare}));
  world.List("db", {});
  world.List("spare", {});
  world.route->Start();
  world.AwaitGoes("");
  CHECK(world.route->Active() == "db");
  CHECK(world.route->FailedOver().empty());
  world.Tell("spare", {2});
  world.AwaitGoes("2");
  world.Tell("spare", {});
  world.AwaitGoes("");
  CHECK(world.route->Active() == "db");
}

TEST_CASE("upstream route: a target that goes before is waited for until it is known") {
  World world(Good({kDb, kSpare}));
  world.List("spare", {2});  // db is not answered for
  world.route->Start();
  world.Await([&] { return world.here.desk.Asked(World::Waits("spare")) == 1; });
  CHECK(world.Goes() == "?");
  CHECK_FALSE(world.route->Answered());
  world.List("db", {});
  world.here.desk.Say("/v1/health/connect/db", world.health["db"]);
  world.AwaitGoes("2");
  CHECK(world.route->Answered());
}

TEST_CASE(
    "upstream route: a target that the agent fails to tell of is passed over, until it does") {
  World world(Good({kDb, kSpare}));
  world.List("spare", {2});
  world.route->Start();
  const std::string error = Says(500, "No path to datacenter");
  SUBCASE("before the next one is known") {
    world.health["db"] = error;
    world.health.erase("spare");
    world.Await([&] { return world.AskedFor("db") >= 2; });
    world.List("spare", {2});
    world.here.desk.Say("/v1/health/connect/spare", world.health["spare"]);
  }
  SUBCASE("after") {
    world.Await([&] { return world.here.desk.Asked(World::Waits("spare")) == 1; });
    CHECK(world.Goes() == "?");
    world.health["db"] = error;
    world.here.desk.Say("/v1/health/connect/db", error);
  }
  const net::MonotonicTime told = world.here.loop.now();
  world.AwaitGoes("2");
  CHECK(world.here.loop.now() - told <= kSlack);
  CHECK(world.route->FailedOver().find("No path to datacenter") != std::string::npos);
  world.List("db", {1});
  world.AwaitGoes("1");
}

TEST_CASE("upstream route: a first target that the token may not read is passed over") {
  World world(Good({kDb, kSpare}));
  world.List("spare", {2});
  world.route->Start();
  world.Await([&] { return world.here.desk.Asked(World::Waits("spare")) == 1; });
  world.health["db"] = Says(403, "Permission denied");
  world.here.desk.Say("/v1/health/connect/db", world.health["db"]);
  world.AwaitGoes("2");
  CHECK(world.route->FailedOver().find("403") != std::string::npos);
}

TEST_CASE(
    "upstream route: who is to stand in and may not be read is a complaint, and no failover") {
  World world(Good({kDb, kSpare}));
  world.List("db", {1});
  // Consul of before 1.9 lists nobody where a later one says 403
  SUBCASE("refused") { world.health["spare"] = Says(403, "Permission denied"); }
  SUBCASE("by an empty list") {
    world.health["spare"] = test::Ok("[]\n", test::Index(1) + "X-Consul-KnownLeader: false\r\n");
  }
  world.route->Start();
  world.AwaitGoes("1");
  world.Await([&] { return !world.route->Complaint().empty(); });
  CHECK(world.route->Complaint().find("needed: service:read on \"spare\" and node:read") !=
        std::string::npos);
  world.Tell("db", {});
  world.AwaitGoes("");
  CHECK(world.route->Active() == "db");
  CHECK(world.Said("an upstream fails over") == 0);
  world.Pass(15s);
  CHECK(world.Said("agent refuses") == 1);
}

TEST_CASE("upstream route: what was known of the first target stays while the agent is away") {
  World world(Good({kDb, kSpare}));
  world.List("db", {1});
  world.List("spare", {2});
  world.route->Start();
  world.AwaitGoes("1");
  world.chain = world.health["db"] = Says(500, "rpc error");
  world.Tell("spare", {2});
  world.Await([&] { return world.here.desk.Asked(World::Waits("db")) == 1; });
  world.here.desk.Say(World::Waits("db"), world.health["db"]);
  world.Pass(20s);
  CHECK(world.Goes() == "1");
  CHECK(world.Names() == std::vector<std::string>{"db", kSpare.Id()});
}

TEST_CASE("upstream route: with failback_delay connections go back to who has stayed so long") {
  World world(Good({kDb, kSpare}),
              [](config::UpstreamSettings* settings) { settings->failback_delay = 2s; });
  FailOver(world);
  const net::MonotonicTime back = world.here.loop.now();
  world.Tell("db", {1});
  world.Pass(1s);
  CHECK(world.Goes() == "2");
  CHECK(world.route->FailedOver() == "db is not long enough back");
  SUBCASE("it stays") {
    world.AwaitGoes("1");
    CHECK(world.here.loop.now() - back >= 2s);
    CHECK(world.here.loop.now() - back <= 2s + kSlack);
    CHECK(world.route->FailedOver().empty());
  }
  SUBCASE("it flaps within the delay") {
    world.Tell("db", {});
    world.Await([&] { return world.route->Targets().front().healthy == 0; });
    CHECK(world.route->FailedOver() == "db has no healthy instance");
    world.Pass(2s);
    CHECK(world.Goes() == "2");
    const net::MonotonicTime again = world.here.loop.now();
    world.Tell("db", {1});
    world.AwaitGoes("1");
    CHECK(world.here.loop.now() - again >= 2s);
  }
  SUBCASE("who stands in has nobody any more") {
    world.Tell("spare", {});
    world.AwaitGoes("1");
    CHECK(world.here.loop.now() - back < 2s);
  }
  CHECK(world.Said("an upstream fails over") == 1);
  CHECK(world.Said("an upstream is back") == 1);
}

TEST_CASE("upstream route: failback_delay is of the target that is gone back to") {
  World world(Good({kDb, kSpare, kLast}),
              [](config::UpstreamSettings* settings) { settings->failback_delay = 4s; });
  world.List("db", {});
  world.List("spare", {});
  world.List(kLastKey, {3});
  world.route->Start();
  world.AwaitGoes("3");
  world.Tell("spare", {2});
  world.Pass(2s);
  const net::MonotonicTime back = world.here.loop.now();
  world.Tell("db", {1});
  world.Pass(1s);
  CHECK(world.Goes() == "3");
  world.AwaitGoes("1");
  CHECK(world.here.loop.now() - back >= 4s);
}

TEST_CASE("upstream route: while a chain is refused nobody is called, which is said once") {
  World world(Says(403, "Permission denied"));
  world.List("db", {1});
  world.route->Start();
  world.Await([&] { return world.route->Answered(); });
  world.Pass(10s);
  CHECK(world.Goes() == "?");
  CHECK(world.AskedFor("db") == 0);  // there may be a redirect
  CHECK(world.Said("agent refuses") == 1);
  CHECK(world.Said("service:read on \\\"db\\\"") == 1);
  CHECK(world.route->Complaint().find(
            "needed: service:read on \"db\"; until then nobody is called") != std::string::npos);
  REQUIRE(world.route->Watches().size() == 1);
  CHECK(world.route->Watches().front()->state().refusal.find("403") != std::string::npos);
  world.List("spare", {2});
  world.chain = Good({kSpare});
  world.AwaitGoes("2");
}

TEST_CASE("upstream route: an agent that knows no chains leaves the upstream its own name") {
  World world(Says(404, "page not found"));
  world.List("db", {1});
  world.route->Start();
  world.AwaitGoes("1");
  CHECK(world.route->Answered());
  CHECK(world.route->Complaint().empty());
  const std::size_t heard = world.heard.size();
  world.Pass(10s);
  CHECK(world.heard.size() == heard);
  CHECK(world.AskedFor("db?index=") == 1);
}

TEST_CASE(
    "upstream route: a chain that is absent for a while is followed as before when it is back") {
  World world(Good({kSpare}));
  world.List("db", {1});
  world.List("spare", {2});
  world.route->Start();
  world.AwaitGoes("2");
  world.chain = Says(404, "page not found");
  world.AwaitGoes("1");
  CHECK(world.route->Complaint().empty());
  world.Chained(Good({kSpare}));
  world.AwaitGoes("2");
}

TEST_CASE(
    "upstream route: where a chain led nowhere, its absence leads to the upstream's own name") {
  World world(Good({kPeers}));
  world.List("db", {1});
  world.route->Start();
  world.Await([&] { return world.route->Answered(); });
  world.chain = Says(404, "page not found");
  world.AwaitGoes("1");
  CHECK(world.route->Complaint().empty());
}

TEST_CASE("upstream route: a chain that makes no sense calls nobody, and is a complaint") {
  for (const std::string name : {"db", "leaderboard", "db-connect", "timeouts"}) {
    CAPTURE(name);
    const std::string what = "service \"" + name + "\" does not have a subset named \"v9\"";
    World world(Says(500, what));
    world.List("db", {1});
    world.route->Start();
    world.Await([&] { return world.here.desk.Asked(kChainPath) >= 2; });
    CHECK(world.route->Answered());
    CHECK(world.Goes() == "?");
    CHECK(world.AskedFor("db") == 0);
    CHECK(world.route->Complaint().find(what) != std::string::npos);
    world.Pass(20s);
    CHECK(world.Said("watch failed") == 1);
    world.chain = Good({kDb});
    world.AwaitGoes("1");
    CHECK(world.route->Complaint().empty());
  }
}

TEST_CASE("upstream route: a client agent hands on what the servers object to in a chain") {
  for (const std::string handed_on :
       {"", "rpc error making call: ", "rpc error making call: rpc error making call: "}) {
    for (const std::string what :
         {"detected circular resolver redirect: [db.default.dc1 -> old.default.dc1]",
          "discovery chain \"db\" uses inconsistent protocols; service \"x\" has \"http\""}) {
      CAPTURE(handed_on);
      World world(Says(500, handed_on + what));
      world.List("db", {1});
      world.route->Start();
      world.Await([&] { return world.route->Answered(); });
      CHECK(world.route->Complaint().find(what) != std::string::npos);
      CHECK(world.Goes() == "?");
    }
  }
}

TEST_CASE("upstream route: an agent without servers, or without sense, is waited for") {
  std::string answer;
  SUBCASE("no leader") { answer = Says(500, "No cluster leader"); }
  SUBCASE("no server") { answer = Says(500, "No known Consul servers"); }
  SUBCASE("an error of the servers") {
    answer = Says(500, "rpc error making call: rpc error: lead thread didn't get connection");
  }
  SUBCASE("a connection to a server that ended") {
    answer = Says(500, "rpc error making call: EOF");
  }
  SUBCASE("too many requests") { answer = Says(429, "too many"); }
  SUBCASE("a front's error") { answer = Says(502, "Bad Gateway"); }
  SUBCASE("garbage") { answer = test::Ok("<html>"); }
  SUBCASE("half a chain") { answer = test::Ok(R"({"Chain":{"ServiceName":"db"}})"); }
  SUBCASE("a lost connection") { answer = test::Desk::kHangUp; }
  World world(answer);
  world.List("db", {1});
  world.route->Start();
  world.Pass(10s);
  CHECK(world.here.desk.Asked(kChainPath) >= 3);
  CHECK_FALSE(world.route->Answered());
  CHECK(world.Goes() == "?");
  CHECK(world.AskedFor("db") == 0);
  CHECK(world.route->watch()->name() == "chain:db");
  world.chain = Good({kDb});
  world.AwaitGoes("1");
  CHECK(world.route->Answered());
}

TEST_CASE("upstream route: a good chain holds, whatever the agent says then instead of one") {
  for (const std::string& answer :
       {Says(403, "Permission denied"), Says(500, "circular resolver redirect"),
        Says(500, "No cluster leader"), test::Ok("{"), test::Ok(R"({"Chain":null})"),
        std::string(test::Desk::kHangUp)}) {
    CAPTURE(answer);
    World world(Good({kSpare}));
    world.List("db", {1});
    world.List("spare", {2});
    world.route->Start();
    world.AwaitGoes("2");
    world.chain = answer;
    world.Pass(15s);
    CHECK(world.Goes() == "2");
    CHECK(world.route->Answered());
    CHECK(world.AskedFor("db") == 0);
    world.chain = Good({kDb});
    world.AwaitGoes("1");
  }
}

TEST_CASE("upstream route: a change of the chain is seen within its poll, without asking anew") {
  World world(Good({kDb}));
  world.List("db", {1});
  world.List("spare", {2});
  world.route->Start();
  world.AwaitGoes("1");
  const net::MonotonicTime changed = world.here.loop.now();
  world.chain = Good({kSpare});
  world.AwaitGoes("2");
  CHECK(world.here.loop.now() - changed <= 3s + kSlack);
  const auto asked = world.here.desk.All(kChainPath);
  for (const auto& question : asked) CHECK(question.target == "/v1/discovery-chain/db?cached");
}

TEST_CASE("upstream route: a chain that leads elsewhere is waited on, and a change seen at once") {
  World world(At(5, {kDb, kSpare}));
  world.List("db", {1});
  world.List("spare", {2});
  world.route->Start();
  world.AwaitGoes("1");
  world.TellChain(At(6, {kSpare, kDb}));
  const net::MonotonicTime told = world.here.loop.now();
  world.AwaitGoes("2");
  CHECK(world.here.loop.now() - told < 1s);
  world.Pass(10s);
  // Of the agent's cache at first, then of the servers, for as long as an upstream's.
  const auto asked = world.here.desk.All(kChainPath);
  CHECK(asked.front().target == "/v1/discovery-chain/db?cached");
  CHECK(asked.back().target.starts_with("/v1/discovery-chain/db?index=6&wait="));
  CHECK(world.route->Watches().front()->Blocks());
  // One that leads to the upstream itself is polled again: it costs no connection.
  world.TellChain(At(7, {kDb}));
  world.AwaitGoes("1");
  const std::size_t waited = world.here.desk.Asked(test::kChainWaits);
  world.Pass(10s);
  CHECK(world.here.desk.Asked(test::kChainWaits) == waited);
  CHECK(world.here.desk.All(kChainPath).back().target == "/v1/discovery-chain/db?cached");
}

TEST_CASE("upstream route: a chain is polled while the upstreams need all connections") {
  std::vector<ChainTo> targets;
  std::vector<std::string> keys;
  for (int dc = 1; dc <= 7; ++dc) {
    targets.push_back({.service = "db", .datacenter = "dc" + std::to_string(dc)});
    keys.push_back(dc == 1 ? "db" : "db?dc=dc" + std::to_string(dc));
  }
  World world(At(5, targets));
  REQUIRE(world.here.link->connections().turns().seats() == targets.size());
  for (const std::string& key : keys) world.List(key, {});
  world.List(keys.back(), {7});
  world.route->Start();
  world.AwaitGoes("7");
  world.Pass(10s);
  for (const auto& question : world.here.desk.All(kChainPath))
    CHECK(question.target == "/v1/discovery-chain/db?cached");
  for (const std::string& key : keys) CHECK(world.here.desk.Asked(World::Waits(key)) >= 1);
  CHECK_FALSE(world.route->Watches().front()->Blocks());
}

TEST_CASE("upstream route: targets that stay in a changed chain keep what is known of them") {
  World world(Good({kDb, kSpare}));
  FailOver(world);
  const auto history = world.route->Rules()->endpoints.front().history;
  REQUIRE(history);
  const std::size_t asked = world.AskedFor("spare");
  world.heard.clear();
  SUBCASE("one more at the end") { world.Chained(Good({kDb, kSpare, kLast})); }
  SUBCASE("the other way round") { world.Chained(Good({kSpare, kDb})); }
  SUBCASE("the first is gone") { world.Chained(Good({kSpare})); }
  SUBCASE("another one between them") {
    world.List(kLastKey, {});
    world.Chained(Good({kDb, kLast, kSpare}));
  }
  SUBCASE("another one before them") {
    world.List(kLastKey, {});
    world.Chained(Good({kLast, kDb, kSpare}));
  }
  SUBCASE("another timeout") { world.Chained(test::Ok(ChainOf({kDb, kSpare}, "2s"))); }
  CHECK(world.Goes() == "2");
  CHECK(world.route->Active() == kSpare.Id());
  CHECK(world.AskedFor("spare") == asked);
  CHECK(world.route->Rules()->endpoints.front().history == history);
  // At no moment did connections go elsewhere, nor was it said that they would.
  for (const std::string& goes : world.heard) CHECK(goes == "2");
  CHECK(world.Said("an upstream fails over") == 1);
}

TEST_CASE("upstream route: what was met with at a target is not forgotten for another one's sake") {
  World world(Good({kDb}));
  world.List("db", {1});
  world.List(kLastKey, {3});
  world.route->Start();
  world.AwaitGoes("1");
  const auto history = world.route->Rules()->endpoints.front().history;
  world.chain = Good({kLast, kDb});
  world.AwaitGoes("3");
  CHECK(world.route->Rules()->endpoints.front().history != history);
  world.Tell("db", {1, 2});
  world.Await([&] { return world.route->Targets()[1].healthy == 2; });
  world.Tell(kLastKey, {});
  world.AwaitGoes("1,2");
  CHECK(world.route->Rules()->endpoints.front().history == history);
}

TEST_CASE(
    "upstream route: a chain that memory failed is taken up all the same, by its next answer") {
  if (!test::kCountsNew) return;
  std::size_t failed = 1;
  for (std::size_t n = 1; failed > 0; ++n) {
    CAPTURE(n);
    World world(Good({kDb}));
    world.List("db", {1});
    world.List("spare", {2});
    world.route->Start();
    world.AwaitGoes("1");
    world.chain = Good({kSpare, kDb});
    world.fail_at = n;
    try {
      world.AwaitGoes("2");
    } catch (const std::bad_alloc&) {  // to the keeper of the loop
    }
    failed = test::FailingNew::Lift().failed;
    // What is asked of it meanwhile finds it whole.
    world.route->CheckAge();
    CHECK(world.route->Watches().size() >= 1);
    CHECK_FALSE(world.Names().empty());
    world.AwaitGoes("2");
    CHECK(world.Names() == std::vector<std::string>{kSpare.Id(), "db"});
  }
}

TEST_CASE("upstream route: who stands in proves its own identity, whatever the upstream's is") {
  World world(Good({kDb, kSpare}), [](config::UpstreamSettings* settings) {
    settings->spiffe_id = authz::ServiceId{"td.consul", "", "default", "dc1", "alias"};
  });
  world.List("db", {1});
  world.List("spare", {2});
  world.route->Start();
  world.AwaitGoes("1");
  CHECK(Uri(world) == "spiffe://td.consul/ns/default/dc/dc1/svc/alias");
  world.Tell("db", {});
  world.AwaitGoes("2");
  CHECK(Uri(world) == "spiffe://td.consul/ns/default/dc/dc1/svc/spare");
}

TEST_CASE("upstream route: the upstream's identity is its own instances', not those elsewhere") {
  const ChainTo elsewhere{.service = "db", .datacenter = "dc2"};
  const auto proves = [&](const std::string& named, const std::vector<ChainTo>& targets) {
    World world(Good(targets), [&](config::UpstreamSettings* settings) {
      settings->spiffe_id = authz::ServiceId{"other.td", "", "default", named, "alias"};
    });
    world.List("db", {1});
    world.List("db?dc=dc2", {2});
    world.route->Start();
    world.AwaitGoes(targets.front().datacenter == "dc1" ? "1" : "2");
    return Uri(world);
  };
  CHECK(proves("dc1", {kDb, elsewhere}) == "spiffe://other.td/ns/default/dc/dc1/svc/alias");
  CHECK(proves("dc1", {elsewhere}) == "spiffe://td.consul/ns/default/dc/dc2/svc/db");
  // that datacenter's it names itself
  CHECK(proves("dc2", {elsewhere}) == "spiffe://other.td/ns/default/dc/dc2/svc/alias");
}

TEST_CASE("upstream route: a chain's timeout holds where the upstream has none of its own") {
  const auto timeout = [](const std::string& chains, const World::Set& set = {}) {
    World world(test::Ok(ChainOf({kDb}, chains)), set);
    world.List("db", {1});
    world.route->Start();
    world.AwaitGoes("1");
    return world.route->Rules()->connect_timeout;
  };
  CHECK(timeout("2s") == 2s);
  CHECK(timeout("1m30s") == 90s);
  CHECK(timeout("0s") == 5s);
  CHECK(timeout("soon") == 5s);
  CHECK(timeout("") == 5s);
  CHECK(timeout("2s", [](config::UpstreamSettings* settings) { settings->connect_timeout = 7s; }) ==
        7s);
}

TEST_CASE("upstream route: a peer's target leads nowhere, which is said once, by its name") {
  World world(Good({kPeers}));
  world.List("db", {1});
  world.route->Start();
  world.Await([&] { return world.route->Answered(); });
  world.Pass(10s);
  CHECK(world.Goes().empty());
  CHECK(world.AskedFor("db") == 0);
  CHECK(world.route->Complaint() == "its discovery chain: " + kPeers.Id() +
                                        " is a peer's, whose instances cannot be called from here");
  CHECK(world.Said(kNotFollowed) == 1);
  for (const auto& target : world.route->Targets()) {
    CHECK_FALSE(target.active);
    CHECK_FALSE(target.followed);
  }
  world.Chained(Good({kDb}));
  world.AwaitGoes("1");
  CHECK(world.route->Complaint().empty());
  world.Chained(Good({kPeers}));
  world.AwaitGoes("");
  CHECK(world.Said(kNotFollowed) == 1);
}

TEST_CASE("upstream route: who is not known yet after a chain that led nowhere is waited for") {
  World world(Good({kPeers}));
  world.route->Start();
  world.Await([&] { return world.route->Answered(); });
  CHECK(world.route->Rules()->known);
  world.Chained(Good({kDb}));
  CHECK(world.AskedFor("db") == 1);
  CHECK(world.Goes() == "?");
  CHECK_FALSE(world.route->Answered());
}

TEST_CASE("upstream route: of a failover list with a peer, those that can be dialled are taken") {
  World world(Good({kDb, kPeers, kSpare}));
  FailOver(world);
  CHECK(world.Names() == std::vector<std::string>{"db", kSpare.Id()});
  CHECK(world.Said(kNotFollowed) == 1);
}

TEST_CASE("upstream route: who stands in for a peer's is not called in its place for good") {
  const ChainTo foreign{.service = "db", .ns = "team"};
  for (const ChainTo& first : {kPeers, foreign}) {
    World world(Good({first, kDb, kSpare}));
    world.List("db", {1});
    world.List("spare", {2});
    world.route->Start();
    world.Await([&] { return world.route->Answered(); });
    world.Pass(10s);
    CHECK(world.Goes().empty());
    CHECK(world.AskedFor("") == 0);
    CHECK(world.route->Complaint().find(first.Id()) != std::string::npos);
    CHECK(world.route->Complaint().find("nor is anybody who stands in for it") !=
          std::string::npos);
    CHECK(world.Said(kNotFollowed) == 1);
    world.Chained(Good({kDb, first}));
    world.AwaitGoes("1");
  }
}

TEST_CASE("upstream route: a target that is named twice is one target") {
  World world(Good({kDb}));
  world.List("db", {1});
  world.List("spare", {2});
  world.route->Start();
  world.AwaitGoes("1");
  world.Chained(Good({kDb, kSpare, kDb, kSpare}));
  world.Tell("db", {});
  world.AwaitGoes("2");
  world.Chained(Good({kSpare, kDb, kSpare}));
  CHECK(world.Goes() == "2");
  CHECK(world.AskedFor("spare") == 2);
}

TEST_CASE("upstream route: what decides by request is named, and the upstream's own are called") {
  for (const std::string type : {"splitter", "router"}) {
    CAPTURE(type);
    World world(test::Ok(BeyondChain(type)));
    world.List("db", {1});
    world.route->Start();
    world.AwaitGoes("1");
    world.Pass(7s);
    CHECK(world.route->Complaint() ==
          "its discovery chain: its " + type + " (" + type +
              ":db.default.default) decides by request, which is not seen here: connections go "
              "to its own instances");
    CHECK(world.Said(kNotFollowed) == 1);
  }
}

TEST_CASE("upstream route: a target in another namespace is named, and is not asked for") {
  const ChainTo other{.service = "db", .ns = "team"};
  World world(Good({kSpare, other}));
  world.List("spare", {2});
  world.route->Start();
  world.AwaitGoes("2");
  world.Tell("spare", {});
  world.AwaitGoes("");
  CHECK(world.AskedFor("db") == 0);
  CHECK(world.Said(kNotFollowed) == 1);
  CHECK(world.route->Complaint().find(other.Id()) != std::string::npos);
}

TEST_CASE("upstream route: our own namespace's targets are taken once we know that it is ours") {
  const ChainTo ours{.service = "spare", .ns = "team"};
  authz::ServiceId own = test::kOwn;
  own.ns = "team";
  World world(Good({ours}));
  world.List("spare", {2});
  SUBCASE("known before") { world.route->SetOwnIdentity("td.consul", own); }
  world.route->Start();
  world.Await([&] { return world.here.desk.Asked(kChainPath) >= 2; });
  SUBCASE("known later") { world.route->SetOwnIdentity("td.consul", own); }
  world.AwaitGoes("2");
  CHECK(Uri(world) == "spiffe://td.consul/ns/team/dc/dc1/svc/spare");
  CHECK(world.route->Complaint().empty());
}

TEST_CASE("upstream route: instances of a target that is left depart by its list on") {
  World world(Good({kDb, kSpare}), CloseOnDeparture);
  world.List("db", {1, 2});
  world.List("spare", {3});
  world.route->Start();
  world.AwaitGoes("1,2");
  CHECK(Left(world).empty());
  world.Tell("db", {2});
  world.AwaitGoes("2");
  CHECK(Left(world) == "db-1: the catalog lists it no more");
  world.Tell("db", {});
  world.AwaitGoes("3");
  CHECK(Left(world) == "db-1: the catalog lists it no more; db-2: the catalog lists it no more");
  world.Tell("db", {2});
  world.AwaitGoes("2");
  CHECK(Left(world) == "db-1: the catalog lists it no more");
  // Who stands in may depart as well, before and after it is needed.
  world.Tell("spare", {});
  world.Await([&] { return Left(world).find("db-3") != std::string::npos; });
  CHECK(world.Goes() == "2");
}

TEST_CASE("upstream route: who has left one target and is listed by another has not left") {
  const ChainTo first{.service = "db", .subset = "v1"};
  World world(Good({first, kDb}), CloseOnDeparture);
  const std::string filtered = "db?filter=Service.Meta.version%20%3D%3D%201";
  world.List(filtered, {1});
  world.List("db", {1, 2});
  world.route->Start();
  world.AwaitGoes("1");
  // Its version is another one from now on.
  world.Tell(filtered, {});
  world.AwaitGoes("1,2");
  CHECK(Left(world).empty());
}

TEST_CASE("upstream route: other settings are taken up with what is known") {
  World world(Good({kDb, kSpare}));
  FailOver(world);
  const auto history = world.route->Rules()->endpoints.front().history;
  world.heard.clear();
  config::UpstreamSettings next = world.settings;
  next.attempts = 3;
  CHECK(world.route->Use(next, 9s, 4s));
  CHECK(world.Goes() == "2");
  CHECK(world.route->Rules()->attempts == 3);
  CHECK(world.route->Rules()->connect_timeout == 9s);
  CHECK(world.route->Rules()->idle_timeout == 4s);
  CHECK(world.route->Rules()->endpoints.front().history == history);
  CHECK(world.route->settings().attempts == 3U);
  CHECK_FALSE(world.heard.empty());
  world.heard.clear();
  CHECK(world.route->Use(next, 9s, 4s));
  CHECK(world.heard.empty());
  world.Tell("db", {1});
  world.AwaitGoes("1");
  CHECK(world.route->Rules()->attempts == 3);
  // What would be asked of the agent needs another object.
  for (const World::Set& set : std::vector<World::Set>{
           [](auto* settings) { settings->name = "other"; },
           [](auto* settings) { settings->datacenter = "dc2"; },
           [](auto* settings) { settings->type = authz::UpstreamType::kPreparedQuery; },
           [](auto* settings) { settings->endpoints = {net::Address::Tcp("127.0.0.1", 5)}; },
           [](auto* settings) { settings->select = "primary"; }, CloseOnDeparture}) {
    config::UpstreamSettings other = next;
    set(&other);
    CHECK_FALSE(world.route->Use(other, 9s, 4s));
  }
}

TEST_CASE("upstream route: targets of a later chain have the settings in force") {
  World world(Good({kDb}));
  world.List("db", {1});
  world.List("spare", {2});
  world.route->Start();
  world.AwaitGoes("1");
  config::UpstreamSettings next = world.settings;
  next.attempts = 3;
  CHECK(world.route->Use(next, 9s, 4s));
  world.chain = Good({kSpare});
  world.AwaitGoes("2");
  CHECK(world.route->Rules()->attempts == 3);
  CHECK(world.route->Rules()->connect_timeout == 9s);
  CHECK(world.route->Rules()->idle_timeout == 4s);
}

TEST_CASE("upstream route: another failback_delay holds for a way back that has begun") {
  World world(Good({kDb, kSpare}),
              [](config::UpstreamSettings* settings) { settings->failback_delay = 10s; });
  FailOver(world);
  const net::MonotonicTime back = world.here.loop.now();
  world.Tell("db", {1});
  world.Pass(1s);
  REQUIRE(world.Goes() == "2");
  config::UpstreamSettings next = world.settings;
  net::milliseconds delay{0};
  SUBCASE("none") { delay = 0ms; }
  SUBCASE("shorter") { delay = 3s; }
  SUBCASE("longer") { delay = 15s; }
  next.failback_delay = delay;
  CHECK(world.route->Use(next, 5s, 0s));
  world.AwaitGoes("1");
  CHECK(world.here.loop.now() - back >= delay);
  CHECK(world.here.loop.now() - back <= delay + 2 * kSlack);
}

TEST_CASE("upstream route: endpoints, queries and other datacenters ask for no chain") {
  World::Set set;
  std::string key;
  SUBCASE("endpoints") {
    set = [](auto* settings) { settings->endpoints = {net::Address::Tcp("127.0.0.1", 1)}; };
  }
  SUBCASE("a query") {
    set = [](auto* settings) { settings->type = authz::UpstreamType::kPreparedQuery; };
    key = "/v1/query/db/execute?connect=true";
  }
  SUBCASE("a datacenter") {
    set = [](auto* settings) { settings->datacenter = "dc2"; };
    key = "db?dc=dc2";
  }
  World world(Good({kSpare}), set);
  if (!key.empty()) {
    world.health[key] =
        test::Ok(key.starts_with("db") ? World::Listed({1})
                                       : nlohmann::json{{"Service", "db"},
                                                        {"Datacenter", "dc1"},
                                                        {"Nodes", {test::Instance(1)}}}
                                             .dump(),
                 test::Index(7));
  }
  world.route->Start();
  world.AwaitGoes("1");
  world.Pass(7s);
  CHECK(world.here.desk.Asked("discovery-chain") == 0);
  CHECK(world.route->Answered());
  CHECK(world.Names() == std::vector<std::string>{"db"});
  CHECK(world.Followed() == std::vector{true});
}

}  // namespace mooring::control
