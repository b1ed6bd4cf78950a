// Many services at one scripted agent: how many connections that takes, what waits and what is
// polled, and how soon a deny is heard.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "proxy/control/intention_source.h"
#include "proxy/control/watch.h"
#include "tests/unit/watch_fixture.h"

namespace mooring::control {
namespace {

using namespace std::chrono_literals;
using authz::DefaultPolicy;
using test::Index;
using Own = AgentConnections::Own;

constexpr char kMatch[] = "/v1/connect/intentions/match";
constexpr char kList[] = "/v1/connect/intentions?";

bool Waits(const std::string& target) { return target.find("wait=20000ms") != std::string::npos; }

// Crowd is so many services, each with configuration, roots, leaf, intentions and an upstream.
struct Crowd : test::Watches {
  enum class Like { kOld, kNew };  // an agent of 1.8, or one of 1.9 and later
  Crowd(int services, Like like)
      : Watches([this](const std::string& target) { return Answer(target); }), like_(like) {
    agent.reset();  // the one that Watches has is no service here
    Add(services);
    wait_over.Start(20s);
    turn_over.Start(3s);
  }
  ~Crowd() {
    sources.clear();
    watches.clear();
  }
  void Add(int services) {
    // All of them first, as a process makes them.
    const std::size_t before = agents.size();
    for (int i = 0; i < services; ++i)
      agents.push_back(Service({"of-s" + std::to_string(agents.size()), ""}));
    for (std::size_t i = before; i < agents.size(); ++i) {
      const std::string name = "s" + std::to_string(i);
      Agent& its = *agents[i];
      Keep(its, name, "config", "/v1/agent/service/" + name, Own::kConfiguration).Start();
      Keep(its, name, "roots", "/v1/agent/connect/ca/roots", Own::kRoots).Start();
      Keep(its, name, "leaf", "/v1/agent/connect/ca/leaf/" + name, Own::kLeaf).Start();
      Keep(its, name, "up", "/v1/health/connect/" + name, Own::kNone).Start();
      sources.push_back(std::make_unique<IntentionSource>(loop, log, its, name, [] {}));
      sources.back()->Start();
    }
  }
  Watch& Keep(Agent& its, const std::string& service, const std::string& what,
              const std::string& path, Own own) {
    auto options = Of(path);
    options.name = service + " " + what;
    options.own = own;
    options.any_token = own == Own::kRoots;
    if (own == Own::kConfiguration) options.blocking = Watch::Blocking::kHash;
    if (own == Own::kNone) options.last_used = [] { return net::MonotonicTime{}; };
    return New(service + " " + what, options, &its);
  }
  std::string Answer(const std::string& target) {
    // Who waits for a change of what has changed already is told at once.
    const auto sent = target.find("index=");
    const bool behind = sent != std::string::npos && std::stoi(target.substr(sent + 6)) < index;
    if (!behind && (Waits(target) || target.find("wait=3000ms") != std::string::npos)) return {};
    const std::string version = Index(index);
    if (target.starts_with(kMatch))
      return test::Ok(Match(target), like_ == Like::kNew ? version : std::string());
    if (target.find("/agent/service/") != std::string::npos)
      return test::Ok(body, "X-Consul-ContentHash: " + body + "\r\n");
    return test::Ok(body, version);
  }
  std::string Match(const std::string& target) const {
    const std::string name =
        target.substr(target.find("name=") + 5,
                      target.find('&', target.find("name=")) - target.find("name=") - 5);
    return "{\"" + name + "\":[{\"SourceName\":\"web\",\"DestinationName\":\"" + name +
           "\",\"Action\":\"" + action + "\"}]}";
  }
  bool Allows(std::size_t i) const {
    const authz::ServiceId caller{"td.consul", "", "default", "dc1", "web"};
    return sources[i]->Current() &&
           sources[i]->Current()->Decide(caller, DefaultPolicy::kDeny).allowed;
  }
  bool AllAllow(bool expected) const {
    for (std::size_t i = 0; i < sources.size(); ++i) {
      if (!sources[i]->Current() || Allows(i) != expected) return false;
    }
    return true;
  }
  bool AllKnow() const {
    return told.size() == 4 * sources.size() && AllAllow(action == std::string("allow"));
  }
  // Write is an intention that somebody writes: whoever waits for it is told.
  void Write(const std::string& what) {
    action = what;
    ++index;
    desk.Say(kList, test::Ok("[]", Index(index)));
    TellMatches();
  }
  void TellMatches() {
    for (std::size_t i = 0; like_ == Like::kNew && i < sources.size(); ++i) {
      const std::string target =
          std::string(kMatch) + "?by=destination&name=s" + std::to_string(i) + "&";
      desk.Say(target, test::Ok(Match(target), Index(index)));
    }
  }
  std::size_t Blocking(const std::string& part) const {
    return static_cast<std::size_t>(
        std::count_if(watches.begin(), watches.end(), [&](const auto& watch) {
          return watch->name().find(part) != std::string::npos && watch->Blocks();
        }));
  }

  const Like like_;
  int index = 7;
  std::string body = "a";
  std::string action = "allow";
  std::vector<std::unique_ptr<Agent>> agents;
  std::vector<std::unique_ptr<IntentionSource>> sources;
  net::Timer wait_over{
      loop, [this] {
        desk.Say(kList, test::Ok("[]", Index(index)));
        TellMatches();
        desk.Say("/v1/agent",
                 test::Ok(body, Index(index) + "X-Consul-ContentHash: " + body + "\r\n"));
        wait_over.Start(20s);
      }};
  net::Timer turn_over{loop, [this] {
                         desk.Say("/v1/health", test::Ok(body, Index(index)));
                         turn_over.Start(3s);
                       }};
};

TEST_CASE("many services: never more than 3n + 5 connections, nor than 16, and everybody is told") {
  for (const auto like : {Crowd::Like::kOld, Crowd::Like::kNew}) {
    for (const int n : {1, 2, 3, 4, 5, 6, 12, 40}) {
      CAPTURE(n);
      CAPTURE(like == Crowd::Like::kNew);
      Crowd crowd(n, like);
      crowd.Until([&] { return crowd.AllKnow(); });
      CHECK(crowd.loop.now() - crowd.started < 3s);
      crowd.Pass(60s);
      CHECK(crowd.desk.most <= static_cast<std::size_t>(std::min(3 * n + 5, 16)));
      for (const auto& watch : crowd.watches) CHECK(watch->state().errors == 0);
      // Roots are asked for once, whatever the tokens.
      CHECK(crowd.Blocking(" roots") == static_cast<std::size_t>(n));
      CHECK(crowd.desk.Asked("ca/roots") <= 6);
    }
  }
}

TEST_CASE("many services: a deny is in force at every one within a second") {
  for (const auto like : {Crowd::Like::kOld, Crowd::Like::kNew}) {
    for (const int n : {1, 4, 5, 40}) {
      CAPTURE(n);
      CAPTURE(like == Crowd::Like::kNew);
      Crowd crowd(n, like);
      crowd.Until([&] { return crowd.AllKnow(); });
      crowd.Pass(10s);
      for (const char* action : {"deny", "allow", "deny"}) {
        crowd.Write(action);
        const net::MonotonicTime written = crowd.loop.now();
        crowd.Until([&] { return crowd.AllAllow(action == std::string("allow")); });
        CHECK(crowd.loop.now() - written < 1s);
        crowd.Pass(3s);
      }
    }
  }
}

TEST_CASE("many services: with connections for all of them they wait") {
  Crowd few(4, Crowd::Like::kNew);
  few.Until([&] { return few.AllKnow(); });
  few.Pass(30s);
  CHECK(few.Blocking(" config") == 4);
  CHECK(few.Blocking(" leaf") == 4);
  CHECK(few.desk.Asked("wait=5ms") == 0);
  CHECK(few.desk.Asked(kList) == 0);
}

TEST_CASE(
    "many services: a leaf that is polled is asked for by its index, so that the agent renews it, "
    "and news are seen in time") {
  Crowd crowd(40, Crowd::Like::kNew);
  crowd.Until([&] { return crowd.AllKnow(); });
  crowd.Pass(10s);
  CHECK(crowd.desk.Asked("ca/leaf/s7?index=7&wait=5ms") >= 3);
  CHECK(crowd.desk.Asked("ca/leaf/s7?index=7&wait=20000ms") == 0);
  CHECK(crowd.desk.Asked("/agent/service/s7") >= 4);
  CHECK(crowd.desk.Asked("/agent/service/s7?hash=") == 0);
  CHECK(crowd.desk.Asked(kList) == 1);  // one for all of them, whatever the tokens
  crowd.body = "b";
  ++crowd.index;
  const net::MonotonicTime changed = crowd.loop.now();
  crowd.Until([&] {
    return std::all_of(crowd.told.begin(), crowd.told.end(), [](const auto& told) {
      return told.second == "b" || told.first.find("roots") != std::string::npos ||
             told.first.find("up") != std::string::npos;
    });
  });
  CHECK(crowd.loop.now() - changed < 3s);
}

TEST_CASE(
    "many services: those that come later and make it a crowd hear of a deny in time, while the "
    "others still wait") {
  for (const auto like : {Crowd::Like::kOld, Crowd::Like::kNew}) {
    CAPTURE(like == Crowd::Like::kNew);
    Crowd crowd(4, like);
    crowd.Until([&] { return crowd.AllKnow(); });
    crowd.Pass(5s);
    CHECK_FALSE(crowd.link->connections().crowded());
    crowd.Add(4);
    CHECK(crowd.link->connections().crowded());
    crowd.Until([&] { return crowd.AllKnow(); });
    for (const char* action : {"deny", "allow", "deny"}) {
      crowd.Pass(1s);
      crowd.Write(action);
      const net::MonotonicTime written = crowd.loop.now();
      crowd.Until([&] { return crowd.AllAllow(action == std::string("allow")); });
      CHECK(crowd.loop.now() - written < 1s);
    }
    crowd.Pass(60s);
    CHECK(crowd.desk.most <= 16);
  }
}

TEST_CASE("many services: when enough of them have gone the others wait again, without the list") {
  Crowd crowd(5, Crowd::Like::kNew);
  crowd.Until([&] { return crowd.AllKnow(); });
  crowd.Pass(5s);
  CHECK(crowd.link->connections().crowded());
  crowd.sources.pop_back();
  for (int i = 0; i < 4; ++i) crowd.watches.pop_back();
  crowd.agents.pop_back();
  CHECK_FALSE(crowd.link->connections().crowded());
  crowd.Pass(60s);
  CHECK(crowd.Blocking(" config") == 4);
  CHECK(crowd.Blocking(" leaf") == 4);
  const std::size_t lists = crowd.desk.Asked(kList);
  crowd.Pass(60s);
  CHECK(crowd.desk.Asked(kList) == lists);
  crowd.Write("deny");
  const net::MonotonicTime written = crowd.loop.now();
  crowd.Until([&] { return crowd.AllAllow(false); });
  CHECK(crowd.loop.now() - written < 1s);
}

}  // namespace
}  // namespace mooring::control
