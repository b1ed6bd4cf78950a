// Watches and one-offs over AgentConnections, against a scripted agent on loopback that counts its
// connections.
#include "proxy/control/agent_connections.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <list>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/control/agent.h"
#include "proxy/control/watch.h"
#include "proxy/http/server.h"
#include "tests/unit/agent_desk.h"
#include "tests/unit/state_fixture.h"

namespace mooring::control {
namespace {

using net::milliseconds;
using test::Blocks;
using test::Index;
using test::kTooMany;
using test::Ok;
using test::RunUntil;

// Fixture has watches that note what they are told.
struct Fixture : test::AtDesk {
  // With `claims` there are the four questions of a service besides, which have a connection of
  // their own each, if they asked.
  explicit Fixture(test::Desk::Answer answer, bool claims = true) : AtDesk(std::move(answer)) {
    using Own = AgentConnections::Own;
    for (const Own own : {Own::kConfiguration, Own::kRoots, Own::kLeaf, Own::kIntentions}) {
      if (!claims) break;
      claimed.push_back(agent->NewAsker(own));
      claimed.back()->Claim(true);
    }
  }
  Watch& Upstream(const std::string& name, net::MonotonicTime* used,
                  Watch::Options::Rewinds rewinds = Watch::Options::Rewinds::kCount) {
    Watch::Options options;
    options.rewinds = rewinds;
    options.name = name;
    options.path = "/v1/health/connect/" + name;
    options.partial = Watch::Options::Partial::kInsteadOfNothing;
    options.last_used = [used] { return used == nullptr ? net::MonotonicTime{} : *used; };
    watches.push_back(std::make_unique<Watch>(loop, log, *agent, options,
                                              [this, name](const http::Response& response) {
                                                told[name] = response.body;
                                                return Status(Ok());
                                              }));
    return *watches.back();
  }
  Watch& Own(AgentConnections::Own own, const std::string& name) {
    Watch::Options options;
    options.name = name;
    options.path = "/v1/" + name;
    options.own = own;
    watches.push_back(std::make_unique<Watch>(loop, log, *agent, options,
                                              [](const http::Response&) { return Status(Ok()); }));
    return *watches.back();
  }
  static Status Ok() { return mooring::Ok(); }

  std::vector<std::unique_ptr<Asker>> claimed;
  std::map<std::string, std::string> told;
  std::list<std::unique_ptr<Watch>> watches;
};

TEST_CASE(
    "agent connections: with one upstream at most six, with thirty at most eight, one-offs "
    "included") {
  for (const int upstreams : {1, 30}) {
    CAPTURE(upstreams);
    Fixture fixture(
        [](const std::string& target) {
          return Blocks(target) ? std::string() : Ok("[]", Index(7));
        },
        false);
    fixture.Own(AgentConnections::Own::kConfiguration, "config").Start();
    fixture.Own(AgentConnections::Own::kRoots, "roots").Start();
    fixture.Own(AgentConnections::Own::kLeaf, "leaf").Start();
    fixture.Own(AgentConnections::Own::kIntentions, "match").Start();
    for (int i = 0; i < upstreams; ++i) fixture.Upstream("up" + std::to_string(i), nullptr).Start();
    std::vector<std::unique_ptr<Asker>> askers;
    int answered = 0;
    for (int i = 0; i < 20; ++i) {
      askers.push_back(fixture.agent->NewAsker());
      askers.back()->Send(
          fixture.agent->NewRequest("GET", "/v1/one-off", ""),
          [&](const Result<http::Response>& answer) { answered += answer ? 1 : 0; });
    }
    RunUntil(fixture.loop, [&] {
      return answered == 20 && fixture.told.size() == static_cast<std::size_t>(upstreams) &&
             fixture.desk.Asked("index=") >= 4 + (upstreams == 1 ? 1u : 3u);
    });
    const std::size_t limit = upstreams == 1 ? 6 : 8;
    CHECK(fixture.desk.most <= limit);
    CHECK(fixture.link->connections().open() <= limit);
    askers.clear();
    fixture.watches.clear();
  }
}

TEST_CASE(
    "agent connections: the upstreams without a seat are asked again within three seconds, of the "
    "agent's cache") {
  Fixture fixture([](const std::string& target) {
    return Blocks(target) ? std::string() : Ok("[]", Index(7));
  });
  for (int i = 0; i < 12; ++i) fixture.Upstream("up" + std::to_string(i), nullptr).Start();
  const auto started = std::chrono::steady_clock::now();
  RunUntil(fixture.loop, [&] {
    int polled = 0;
    for (int i = 0; i < 12; ++i) {
      polled += fixture.desk.Asked("/up" + std::to_string(i) + "?cached") >= 3 ? 1 : 0;
    }
    return polled == 12 - 3;
  });
  // The second question comes any time within 2.5 s, the third 2.5 s after it.
  CHECK(std::chrono::steady_clock::now() - started < std::chrono::seconds(6));
  CHECK(fixture.desk.most <= 4);
  int blocking = 0;
  for (const auto& watch : fixture.watches) blocking += watch->Blocks() ? 1 : 0;
  CHECK(blocking == 3);
  fixture.watches.clear();
}

TEST_CASE(
    "agent connections: an upstream that comes into use waits with the index that it was told by a "
    "poll") {
  net::MonotonicTime used{};
  Fixture fixture([](const std::string& target) {
    return Blocks(target) ? std::string() : Ok("[]", Index(7));
  });
  for (int i = 0; i < 5; ++i) fixture.Upstream("up" + std::to_string(i), nullptr).Start();
  RunUntil(fixture.loop, [&] { return fixture.desk.Asked("index=") >= 3; });
  Watch& watch = fixture.Upstream("wanted", &used);
  watch.Start();
  RunUntil(fixture.loop, [&] { return fixture.told.contains("wanted"); });
  CHECK_FALSE(watch.Blocks());
  used = fixture.loop.now();
  // The blocking queries of the others end, as the agent lets them after their wait.
  net::Timer end(fixture.loop, [&] {
    fixture.desk.Say("/v1/health/connect/up", Ok("[]", Index(7)));
    end.Start(milliseconds(200));
  });
  end.Start(milliseconds(200));
  RunUntil(fixture.loop, [&] { return fixture.desk.Asked("/wanted?index=7&wait=") > 0; });
  CHECK(watch.Blocks());
  CHECK(fixture.desk.most <= 4);
  fixture.watches.clear();
}

TEST_CASE(
    "agent connections: a one-off fails at its deadline, which counts from when it was asked for") {
  Fixture fixture([](const std::string&) { return std::string(); });
  auto first = fixture.agent->NewAsker(), second = fixture.agent->NewAsker();
  first->Send(fixture.agent->NewRequest("GET", "/v1/slow", ""),
              [](const Result<http::Response>&) {});
  http::Request request = fixture.agent->NewRequest("GET", "/v1/quick", "");
  request.deadline = milliseconds(100);
  std::optional<Result<http::Response>> got;
  second->Send(std::move(request), [&](Result<http::Response> answer) { got = std::move(answer); });
  CHECK_FALSE(got);
  RunUntil(fixture.loop, [&] { return got.has_value(); });
  REQUIRE_FALSE(*got);
  CHECK(got->error().message.find("all in use for 100 ms") != std::string::npos);
  CHECK(fixture.desk.accepted == 1);
}

TEST_CASE(
    "agent connections: what is queued goes on when the callback of another ends by an exception") {
  Fixture agent([](const std::string&) { return test::Ok("x"); }, /*claims=*/false);
  std::vector<std::unique_ptr<Asker>> askers;
  std::size_t thrown = 0;
  for (int i = 0; i < 20; ++i) {  // more than there are connections
    askers.push_back(agent.agent->NewAsker());
    askers.back()->Send(agent.agent->NewRequest("GET", "/v1/x", ""),
                        [&](const Result<http::Response>& answer) {
                          CHECK(answer);
                          ++thrown;
                          throw std::bad_alloc();
                        });
  }
  for (std::size_t i = 1; i <= askers.size(); ++i) {
    CHECK_THROWS_AS(RunUntil(agent.loop, [&] { return thrown > i; }), std::bad_alloc);
  }
  CHECK(thrown == askers.size());
}

TEST_CASE(
    "agent connections: a request given up keeps its connection until its answer, and nothing is "
    "opened beside it") {
  Fixture fixture([](const std::string&) { return std::string(); });
  auto asker = fixture.agent->NewAsker();
  asker->Send(fixture.agent->NewRequest("GET", "/v1/old", ""),
              [](const Result<http::Response>&) { CHECK(false); });
  RunUntil(fixture.loop, [&] { return fixture.desk.Asked("old") == 1; });
  bool answered = false;
  asker->Send(fixture.agent->NewRequest("GET", "/v1/new", ""),
              [&](const Result<http::Response>& answer) { answered = answer.has_value(); });
  net::Timer later(fixture.loop, [&] { fixture.desk.Say("/v1/old", Ok("late")); });
  later.Start(milliseconds(50));
  RunUntil(fixture.loop, [&] { return fixture.desk.Asked("new") == 1; });
  fixture.desk.Say("/v1/new", Ok("soon"));
  RunUntil(fixture.loop, [&] { return answered; });
  CHECK(fixture.desk.accepted == 1);
}

TEST_CASE(
    "agent connections: where the agent admits no more, that is said, and a new one is tried once "
    "a second at most") {
  Fixture fixture([](const std::string&) { return std::string(kTooMany); }, false);
  for (const auto own : {AgentConnections::Own::kRoots, AgentConnections::Own::kLeaf,
                         AgentConnections::Own::kIntentions}) {
    fixture.Own(own, "own").Start();
  }
  for (int i = 0; i < 10; ++i) fixture.Upstream("up" + std::to_string(i), nullptr).Start();
  RunUntil(fixture.loop, [&] {
    return std::all_of(fixture.watches.begin(), fixture.watches.end(), [](const auto& watch) {
      return watch->state().last_error == Admission::kFull;
    });
  });
  CHECK(fixture.link->connections().Complaint() == Admission::kFull);
  const std::size_t before = fixture.desk.accepted;
  bool over = false;
  net::Timer wait(fixture.loop, [&] { over = true; });
  wait.Start(milliseconds(3'000));
  RunUntil(fixture.loop, [&] { return over; });
  CHECK(fixture.desk.accepted - before <= 3);
  fixture.watches.clear();
}

TEST_CASE("agent connections: one end is not judged by the one before") {
  Fixture fixture([](const std::string& target) {
    return Blocks(target) ? std::string() : Ok("[]", Index(7));
  });
  const test::TempDir dir;
  net::Address address;
  address.kind = net::Address::Kind::kUnix;
  address.path = dir / "feed";
  auto listening = net::Listen(address);
  REQUIRE(listening);
  bool asked = false;
  std::optional<http::Server> feed;
  feed.emplace(fixture.loop, std::move(*listening), http::ServerLimits{},
               [&](const http::ServerRequest&, const http::Server::Reply&) { asked = true; });
  fixture.link->FollowFeed(address.path);
  fixture.Own(AgentConnections::Own::kRoots, "roots").Start();
  RunUntil(fixture.loop, [&] { return asked; });
  feed.reset();  // a new connection that ends unanswered: so does an agent that admits no more
  RunUntil(fixture.loop, [&] { return !fixture.link->connections().Complaint().empty(); });
  fixture.link->AskAgent();
  CHECK(fixture.link->connections().Complaint().empty());
  RunUntil(fixture.loop, [&] { return fixture.desk.Asked("roots") > 0; });
  fixture.watches.clear();
}

TEST_CASE(
    "watch: an answer of the agent's cache is as old as the servers' last word, or as its Age "
    "where that is more") {
  std::string age;
  Fixture fixture([&](const std::string& target) {
    if (target.find("cached") != std::string::npos) return Ok("[]", Index(7) + age);
    return Blocks(target) ? std::string() : Ok("[]", Index(7));
  });
  fixture.agent->SetMaxStale(std::chrono::minutes(2));
  for (int i = 0; i < 3; ++i) fixture.Upstream("up" + std::to_string(i), nullptr).Start();
  Watch& watch = fixture.Upstream("polled", nullptr);
  watch.Start();
  const auto asked = [&] { return fixture.desk.Asked("polled?cached"); };
  RunUntil(fixture.loop, [&] { return asked() >= 2 && watch.state().updates >= 2; });
  const auto seen = fixture.link->ServersSeen();
  REQUIRE(seen);
  // The servers' last word is older than this answer.
  CHECK(watch.ConfirmedAt() == seen);
  CHECK(watch.state().cached);
  CHECK_FALSE(watch.TooOld());
  age = "Age: 300\r\n";
  const std::size_t before = asked();
  RunUntil(fixture.loop, [&] { return asked() > before && watch.TooOld(); });
  CHECK(fixture.loop.now() - *watch.ConfirmedAt() > std::chrono::seconds(299));
  fixture.watches.clear();
}

TEST_CASE(
    "watch: a cached answer that is behind what is in force is not taken up before the servers say "
    "so") {
  for (const bool waits : {false, true}) {
    CAPTURE(waits);
    int servers = 7;
    int cache = 7;
    Fixture fixture([&](const std::string& target) {
      if (target == "/v1/status/leader") return Ok("\"127.0.0.1:1\"");
      if (target.find("cached") != std::string::npos)
        return Ok("c" + std::to_string(cache), Index(cache));
      return Blocks(target) ? std::string() : Ok("s" + std::to_string(servers), Index(servers));
    });
    for (int i = 0; i < 3; ++i) fixture.Upstream("up" + std::to_string(i), nullptr).Start();
    Watch& watch =
        fixture.Upstream("polled", nullptr,
                         waits ? Watch::Options::Rewinds::kWait : Watch::Options::Rewinds::kCount);
    watch.Start();
    RunUntil(fixture.loop, [&] { return fixture.told["polled"] == "c7"; });
    // Its cache is of an earlier time: the servers decide, once.
    cache = 5;
    RunUntil(fixture.loop, [&] { return fixture.told["polled"] == "s7"; });
    const auto cached = [&] { return fixture.desk.Asked("polled?cached"); };
    const std::size_t before = cached(), verified = fixture.desk.Asked("/polled") - cached();
    RunUntil(fixture.loop, [&] { return cached() >= before + 2; });
    CHECK(fixture.desk.Asked("/polled") - cached() == verified);
    CHECK(fixture.told["polled"] == "s7");
    CHECK(watch.state().errors == 0);
    // Its whole state is a new one.
    cache = 3;
    servers = 3;
    RunUntil(fixture.loop, [&] { return fixture.told["polled"] == "s3"; });
    CHECK((watch.state().errors > 0) == waits);
    fixture.watches.clear();
  }
}

}  // namespace
}  // namespace mooring::control
