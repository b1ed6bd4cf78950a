#include "proxy/control/intention_source.h"

#include <doctest/doctest.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "tests/unit/agent_desk.h"
#include "tests/unit/test_clock.h"

namespace mooring::control {
namespace {

using namespace std::chrono_literals;
using authz::DefaultPolicy;
using test::Blocks;
using test::Index;
using test::Says;

constexpr char kMatch[] = "/v1/connect/intentions/match";
constexpr char kList[] = "/v1/connect/intentions?";
constexpr char kDefault[] = "/v1/agent/connect/authorize";
constexpr net::milliseconds kSlack{1'000};  // of the machine, whose time passes as well
const authz::ServiceId kOwn{"td.consul", "", "default", "dc1", "db"};

std::string Entries(const std::vector<std::pair<std::string, std::string>>& sources) {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& [source, action] : sources) {
    list.push_back({{"SourceName", source}, {"DestinationName", "db"}, {"Action", action}});
  }
  return nlohmann::json{{"db", list}}.dump();
}

std::string Verdict(bool allow, const std::string& reason = "Default behavior configured by ACLs") {
  return nlohmann::json{{"Authorized", allow}, {"Reason", reason}}.dump();
}

// World is the intentions of db at an agent that says these; who waits for a change hears the same
// after twenty seconds.
struct World {
  World() {
    source.Start();
    wait_over.Start(20s);
  }
  std::string Answer(const std::string& target) {
    if (target.starts_with(kDefault)) return authorize;
    if (target.starts_with(kMatch)) return Blocks(target) ? std::string() : match;
    return Blocks(target) ? std::string() : list;
  }
  bool Allows(const std::string& service) const {
    authz::ServiceId caller = kOwn;
    caller.service = service;
    return source.Current() && source.Current()->Decide(caller, source.Fallback()).allowed;
  }
  void Await(const std::function<bool()>& done) { clock.RunUntil(here.loop, done); }
  void Pass(net::milliseconds time) {
    bool over = false;
    net::Timer timer(here.loop, [&] { over = true; });
    timer.Start(time);
    Await([&] { return over; });
  }
  std::size_t Asked(const char* target) const { return here.desk.Asked(target); }

  test::Clock clock;
  std::string match = test::Ok(Entries({{"web", "allow"}}), Index(7));
  std::string list = test::Ok("[]", Index(7));
  std::string authorize = test::Ok(Verdict(false));
  int changes = 0;
  test::AtDesk here{[this](const std::string& target) { return Answer(target); }};
  net::Timer wait_over{here.loop, [this] {
                         here.desk.Say(kMatch, match);
                         here.desk.Say(kList, list);
                         wait_over.Start(20s);
                       }};
  IntentionSource source{here.loop, here.log, *here.agent, "db", [this] { ++changes; }};
};

// Old makes it an agent of 1.8, which gives the match no index.
void Old(World* world, const std::vector<std::pair<std::string, std::string>>& entries) {
  world->match = test::Ok(Entries(entries));
}

TEST_CASE("intention source: nobody is served before the list and the default are known") {
  World world;
  CHECK(world.source.Missing() == "no intentions yet");
  CHECK(world.source.Current() == nullptr);
  world.Await([&] { return world.source.Current() != nullptr; });
  CHECK(world.source.Missing().starts_with("default intention policy not known yet"));
  CHECK(world.Asked(kDefault) == 0);  // it is asked for somebody of our namespace
  world.source.SetOwnIdentity(kOwn);
  world.Await([&] { return world.source.Missing().empty(); });
  CHECK(world.source.Fallback() == DefaultPolicy::kDeny);
  CHECK(world.Allows("web"));
  CHECK_FALSE(world.Allows("api"));
}

TEST_CASE(
    "intention source: a change is in force when the agent tells it, and the default is asked "
    "anew") {
  World world;
  world.source.SetOwnIdentity(kOwn);
  world.Await([&] { return world.source.Missing().empty() && world.Asked("index=7") == 1; });
  const std::size_t asked = world.Asked(kDefault);
  world.authorize = test::Ok(Verdict(true));
  world.here.desk.Say(kMatch, test::Ok(Entries({{"web", "deny"}}), Index(8)));
  world.Await(
      [&] { return !world.Allows("web") && world.source.Fallback() == DefaultPolicy::kAllow; });
  CHECK(world.Asked(kDefault) == asked + 1);
  CHECK(world.Allows("api"));
}

TEST_CASE("intention source: the default is asked once a minute, less up to a tenth") {
  World world;
  world.source.SetOwnIdentity(kOwn);
  world.Await([&] { return world.source.Missing().empty(); });
  world.Pass(10min);
  const auto all = world.here.desk.All(kDefault);
  CHECK(all.size() >= 10);
  CHECK(all.size() <= 13);
  const auto question = nlohmann::json::parse(all.front().body);
  CHECK(question["Target"] == "db");
  CHECK(question["ClientCertURI"].get<std::string>().starts_with(
      "spiffe://td.consul/ns/default/dc/dc1/svc/"));
}

TEST_CASE("intention source: where an entry covers everybody no default is asked for") {
  World world;
  world.match = test::Ok(Entries({{"*", "deny"}, {"web", "allow"}}), Index(7));
  world.source.SetOwnIdentity(kOwn);
  world.Await([&] { return world.source.Missing().empty(); });
  world.Pass(2min);
  CHECK(world.Asked(kDefault) == 0);
  CHECK(world.Allows("web"));
  CHECK_FALSE(world.Allows("api"));
}

TEST_CASE(
    "intention source: the verdict of an entry that is not in our list yet is not taken for the "
    "default") {
  World world;
  world.authorize = test::Ok(Verdict(true, "Matched intention: ALLOW"));
  world.source.SetOwnIdentity(kOwn);
  world.Pass(60s);
  CHECK(world.source.Fallback() == DefaultPolicy::kUnknown);
  CHECK_FALSE(world.Allows("api"));
  // Growing pauses: 1/4, 1/2, 1, 2, 4, 8, 8, ... s, less up to half.
  CHECK(world.Asked(kDefault) >= 9);
  CHECK(world.Asked(kDefault) <= 25);
  world.authorize = test::Ok(Verdict(true));
  world.Await([&] { return world.source.Fallback() == DefaultPolicy::kAllow; });
}

TEST_CASE(
    "intention source: a default that the agent will not tell is deny, and what the list allows is "
    "served") {
  World world;
  world.authorize = Says(403, "Permission denied");
  world.source.SetOwnIdentity(kOwn);
  world.Await([&] { return world.source.Missing().empty(); });
  CHECK(world.Allows("web"));
  CHECK_FALSE(world.Allows("api"));
}

TEST_CASE("intention source: the default of the ACLs is tightened by any answer's header") {
  World world;
  world.authorize = test::Ok(Verdict(true));
  world.source.SetOwnIdentity(kOwn);
  world.Await([&] {
    return world.source.Fallback() == DefaultPolicy::kAllow && world.Asked("index=7") == 1;
  });
  world.here.desk.Say(kMatch, test::Ok(Entries({{"web", "allow"}}),
                                       Index(8) + "X-Consul-Default-ACL-Policy: deny\r\n"));
  world.Await([&] { return world.source.Fallback() == DefaultPolicy::kDeny; });
}

TEST_CASE(
    "intention source: a default of intentions stands by itself, whatever a header says of the "
    "ACLs") {
  World own;
  own.match =
      test::Ok(Entries({{"web", "allow"}}), Index(7) + "X-Consul-Default-ACL-Policy: deny\r\n");
  own.authorize = test::Ok(Verdict(true, "Default intention policy"));
  own.source.SetOwnIdentity(kOwn);
  own.Await([&] { return own.source.Fallback() == DefaultPolicy::kAllow; });
}

TEST_CASE(
    "intention source: at an agent of 1.8 the list of all intentions wakes the match, which is "
    "asked twice a minute at least") {
  World world;
  Old(&world, {{"web", "allow"}});
  world.source.SetOwnIdentity(kOwn);
  world.Await(
      [&] { return world.source.Missing().empty() && world.Asked("intentions?index=7") == 1; });
  const std::size_t asked = world.Asked(kMatch);
  world.Pass(10s);
  CHECK(world.Asked(kMatch) <= asked + 1);
  Old(&world, {{"web", "deny"}});
  const net::MonotonicTime told = world.here.loop.now();
  world.here.desk.Say(kList, test::Ok("[]", Index(8)));
  world.Await([&] { return !world.Allows("web"); });
  CHECK(world.here.loop.now() - told <= kSlack);
  const std::size_t before = world.Asked(kMatch);
  world.Pass(5min);
  CHECK(world.Asked(kMatch) - before >= 10);
  CHECK(world.Asked(kMatch) - before <= 27);  // each end of a wait for the list wakes it, too
}

TEST_CASE("intention source: where neither can be waited on the match is asked twice a second") {
  for (const bool refused : {true, false}) {
    CAPTURE(refused);
    World world;
    Old(&world, {{"web", "allow"}});
    world.list = refused ? Says(403, "Permission denied") : test::Ok("[]");
    world.source.SetOwnIdentity(kOwn);
    world.Await([&] { return world.source.Missing().empty(); });
    const std::size_t before = world.Asked(kMatch);
    world.Pass(20s);
    CHECK(world.Asked(kMatch) - before >= 35);
    CHECK(world.Asked(kMatch) - before <= 46);
  }
}

TEST_CASE(
    "intention source: a list that is refused later wakes nobody: the match is asked at once, and "
    "twice a second from then on") {
  World world;
  Old(&world, {{"web", "allow"}});
  world.source.SetOwnIdentity(kOwn);
  world.Await(
      [&] { return world.source.Missing().empty() && world.Asked("intentions?index=7") == 1; });
  Old(&world, {{"web", "deny"}});
  world.list = Says(403, "Permission denied");
  const net::MonotonicTime told = world.here.loop.now();
  world.here.desk.Say(kList, world.list);
  world.Await([&] { return !world.Allows("web"); });
  CHECK(world.here.loop.now() - told <= kSlack);
  Old(&world, {{"web", "allow"}});
  world.Await([&] { return world.Allows("web"); });
  CHECK(world.here.loop.now() - told <= 1s + kSlack);
}

TEST_CASE(
    "intention source: an answer that cannot be read, or is filtered, leaves what is in force") {
  for (const std::string& bad :
       {test::Ok("{", Index(9)), test::Ok("{}", Index(9)), Says(500, "rpc error"),
        test::Ok(Entries({}), Index(9) + "X-Consul-Results-Filtered-By-ACLs: true\r\n")}) {
    CAPTURE(bad);
    World world;
    world.match = test::Ok(Entries({{"web", "deny"}}), Index(7));
    world.authorize = test::Ok(Verdict(true));
    world.source.SetOwnIdentity(kOwn);
    world.Await([&] { return world.source.Missing().empty() && world.Asked("index=7") == 1; });
    world.match = bad;
    world.here.desk.Say(kMatch, bad);
    world.Pass(30s);
    CHECK_FALSE(world.Allows("web"));
    CHECK(world.Allows("api"));
    CHECK(world.source.Current()->entries().size() == 1);
  }
}

}  // namespace
}  // namespace mooring::control
