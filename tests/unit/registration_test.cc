#include "proxy/control/registration.h"

#include <doctest/doctest.h>

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "tests/unit/agent_desk.h"
#include "tests/unit/state_fixture.h"
#include "tests/unit/test_clock.h"

namespace mooring::control {
namespace {

using namespace std::chrono_literals;
using test::Desk;
using test::Says;

// The machine's own time passes as well, and it may be busy.
constexpr net::milliseconds kSlack{1'000};

constexpr char kRegister[] = "/v1/agent/service/register";
constexpr char kPass[] = "/v1/agent/check/pass/web-proxy-ttl";
constexpr char kFail[] = "/v1/agent/check/fail/web-proxy-ttl";
constexpr char kLook[] = "/v1/agent/service/web-proxy";
constexpr char kInstances[] = "/v1/health/connect/web";
constexpr char kRemove[] = "/v1/agent/service/deregister/web-proxy";

// World is a registration at an agent that answers 200 to everything, but for what the test has it
// say.
struct World {
  explicit World(log::Level level = log::Level::kError, const std::string& address = "10.0.0.1")
      : here([this](const std::string& target) { return Answer(target); }, level),
        registration(here.loop, here.log, *here.agent, {"web-proxy", "web", address, 8443}) {
    registration.Start();
  }
  std::string Answer(const std::string& target) {
    for (const auto& [prefix, answer] : answers) {
      if (target.starts_with(prefix)) return answer;
    }
    if (target == kLook) return test::Ok(Entry(Mark()));
    return test::Ok("");
  }
  static std::string Entry(const std::string& mark) {
    return nlohmann::json{{"ID", "web-proxy"}, {"Meta", {{"mooring-process", mark}}}}.dump();
  }
  // Mark is that of the registration that was sent last.
  std::string Mark() const {
    return nlohmann::json::parse(here.desk.All(kRegister).back().body)["Meta"]["mooring-process"]
        .get<std::string>();
  }
  std::size_t Asked(const char* target) const { return here.desk.Asked(target); }
  void Pass(net::milliseconds time) {
    bool over = false;
    net::Timer timer(here.loop, [&] { over = true; });
    timer.Start(time);
    clock.RunUntil(here.loop, [&] { return over; });
  }
  void Await(const char* target, std::size_t times = 1) {
    clock.RunUntil(here.loop, [&] { return Asked(target) >= times; });
  }
  // Pauses are the times between two questions of that kind.
  std::vector<net::milliseconds> Pauses(const char* target) const {
    std::vector<net::milliseconds> pauses;
    const auto all = here.desk.All(target);
    for (std::size_t i = 1; i < all.size(); ++i) {
      pauses.push_back(std::chrono::duration_cast<net::milliseconds>(all[i].at - all[i - 1].at));
    }
    return pauses;
  }
  template <typename Act>
  net::milliseconds Took(const Act& act) {
    const net::MonotonicTime before = here.loop.now();
    bool done = false;
    act([&](auto...) { done = true; });
    clock.RunUntil(here.loop, [&] { return done; });
    return std::chrono::duration_cast<net::milliseconds>(here.loop.now() - before);
  }

  // Suspends is whether the agent has taken the check for critical.
  bool Suspends() {
    std::optional<bool> taken;
    (void)Took([&](auto done) {
      registration.Suspend([&, done](bool is) {
        taken = is;
        done();
      });
    });
    REQUIRE(taken);
    return *taken;
  }

  test::Clock clock;
  std::map<std::string, std::string> answers;  // by the beginning of the target
  test::AtDesk here;
  Registration registration;
};

TEST_CASE(
    "registration: it is made with a mark, its check is passed at once and then every ten seconds, "
    "less up to one") {
  World world;
  world.Await(kPass, 8);
  CHECK(world.Asked(kRegister) == 1);
  CHECK(world.registration.registered());
  CHECK(world.registration.Complaint() == "");
  const auto body = nlohmann::json::parse(world.here.desk.All(kRegister).front().body);
  CHECK(body["ID"] == "web-proxy");
  CHECK(body["Address"] == "10.0.0.1");
  CHECK(body["Port"] == 8443);
  CHECK(body["Proxy"]["DestinationServiceName"] == "web");
  CHECK(world.Mark().size() > 8);
  for (const auto pause : world.Pauses(kPass)) {
    CHECK(pause >= 9s);
    CHECK(pause <= 10s + kSlack);
  }
}

TEST_CASE("registration: no two have the same mark") {
  std::string first;
  {
    World world;
    world.Await(kRegister);
    first = world.Mark();
  }
  World world;
  world.Await(kRegister);
  CHECK(world.Mark() != first);
}

TEST_CASE(
    "registration: where each heartbeat is refused both are asked with growing pauses, it is "
    "degraded, and recovers") {
  for (const int status : {404, 500}) {
    CAPTURE(status);
    World world;
    world.answers[kPass] = Says(status, "Unknown check");
    world.Pass(60s);
    // 1/4, 1/2, 1, 2, 4, 4, ... s, less up to half.
    CHECK(world.Asked(kRegister) >= 15);
    CHECK(world.Asked(kRegister) <= 35);
    CHECK(world.Asked(kPass) == world.Asked(kRegister));
    const auto pauses = world.Pauses(kRegister);
    CHECK(pauses.front() >= 125ms);
    CHECK(pauses.front() <= 250ms + kSlack);
    for (std::size_t i = 5; i < pauses.size(); ++i) {
      CHECK(pauses[i] >= 2s);
      CHECK(pauses[i] <= 4s + kSlack);
    }
    CHECK(world.registration.Complaint().find("Unknown check") != std::string::npos);
    CHECK_FALSE(world.registration.registered());
    world.answers.clear();
    const std::size_t before = world.Asked(kRegister);
    world.Pass(30s);
    CHECK(world.Asked(kRegister) == before + 1);
    CHECK(world.registration.registered());
    CHECK(world.registration.Complaint() == "");
    // The pauses begin anew: what is lost is registered at once.
    world.answers[kPass] = Says(status, "Unknown check");
    world.Await(kRegister, before + 2);
    world.answers.clear();
    CHECK(world.Pauses(kRegister).back() >= 9s);
    CHECK(world.here.desk.All(kRegister).back().at - world.here.desk.All(kPass).back().at <=
          kSlack);
  }
}

TEST_CASE("registration: a heartbeat that is forbidden registers nothing anew") {
  World world;
  world.answers[kPass] = Says(403, "Permission denied");
  world.Pass(60s);
  CHECK(world.Asked(kRegister) == 1);
  CHECK(world.Asked(kPass) <= 35);
  CHECK(world.registration.Complaint().find("Permission denied") != std::string::npos);
}

TEST_CASE("registration: a refusal says what it takes, which is more than a service identity has") {
  World world;
  world.answers[kRegister] = Says(403, "Permission denied");
  world.answers["/v1/status/leader"] = test::Ok("\"127.0.0.1:8300\"");
  world.Pass(30s);
  CHECK(world.registration.Complaint() ==
        "register web-proxy: the agent answered 403 (Permission denied); it was asked without a "
        "token, which lacks a permission (it takes service:write on \"web-proxy\" and \"web\"; a "
        "service identity for \"web\" has the latter and \"web-sidecar-proxy\" alone)");
}

TEST_CASE("registration: what an agent without a leader refuses is an outage, then a refusal") {
  test::StandardError lines;
  World world(log::Level::kWarn);
  world.answers[kRegister] = Says(403, "ACL not found");
  world.answers["/v1/status/leader"] = test::Ok("\"\"");
  const auto said = [&](const char* text) {
    REQUIRE(world.here.log.Flush(10s));
    return lines.Count(text);
  };
  world.Pass(30s);
  CHECK(said("[WARN]  agent: the agent has no leader and refuses every token") == 1);
  CHECK(said("agent refuses") == 0);
  world.answers["/v1/status/leader"] = test::Ok("\"127.0.0.1:8300\"");
  world.Pass(30s);
  CHECK(said("[ERROR] agent: agent refuses: id=web-proxy") == 1);
}

TEST_CASE("registration: its first one is asked, then refused, unanswered or taken, which stays") {
  using First = Registration::First;
  std::vector<First> became;
  World world;
  world.registration.OnChange([&] { became.push_back(world.registration.first()); });
  CHECK(world.registration.first() == First::kAsked);
  world.answers[kRegister] = Says(403, "Permission denied");
  world.Await(kRegister, 3);
  world.answers[kRegister] = Says(500, "rpc error");
  world.Await(kRegister, 5);
  world.answers[kRegister] = Says(400, "Invalid service address");
  world.Await(kRegister, 7);
  world.answers.clear();
  world.Await(kPass);
  world.answers["/v1/agent/"] = Says(403, "Permission denied");
  world.Pass(30s);
  CHECK(became == std::vector{First::kRefused, First::kUnanswered, First::kRefused, First::kTaken});
}

TEST_CASE("registration: callers who are sent to a loopback address are warned of, once") {
  const auto instance = [](const std::string& address, const std::string& mark) {
    return nlohmann::json{
        {"Node", {{"Address", address}}},
        {"Service", {{"ID", "web-proxy"}, {"Meta", {{"mooring-process", mark}}}}}};
  };
  struct Row {
    std::string registered, node, warned;  // warned: of which address; empty: nothing
  };
  for (const Row& row :
       {Row{"127.0.0.1", "10.0.0.7", "127.0.0.1"}, Row{"10.0.0.1", "127.0.0.1", ""},
        Row{"::1", "", "::1"}, Row{"", "127.0.0.1", "127.0.0.1"}, Row{"", "10.0.0.7", ""},
        Row{"", "", ""}}) {
    CAPTURE(row.registered);
    CAPTURE(row.node);
    test::StandardError lines;
    World world(log::Level::kWarn, row.registered);
    const bool asks = row.registered.empty();
    world.Await(kPass);
    // The servers hear of it after the first look; another machine has the same ID.
    world.answers[kInstances] = test::Ok("[null]");
    if (asks) world.Await(kInstances);
    nlohmann::json all = {instance("127.0.0.1", "another's"), nullptr,
                          nlohmann::json{{"Node", nullptr}, {"Service", {{"Meta", nullptr}}}}};
    if (!row.node.empty()) all.push_back(instance(row.node, world.Mark()));
    world.answers[kInstances] = test::Ok(all.dump());
    world.Pass(60s);
    REQUIRE(world.here.log.Flush(10s));
    CHECK(world.Asked(kInstances) == (!asks ? 0U : row.node.empty() ? 3U : 2U));
    CHECK(lines.Count("registered with a loopback address") == (row.warned.empty() ? 0U : 1U));
    if (!row.warned.empty()) CHECK(lines.Count("address=" + row.warned) == 1);
  }
}

TEST_CASE("registration: a registration that is refused is tried again with growing pauses") {
  World world;
  world.answers[kRegister] = Says(500, "no");
  world.Pass(60s);
  CHECK(world.Asked(kRegister) >= 15);
  CHECK(world.Asked(kRegister) <= 35);
  CHECK(world.Asked(kPass) == 0);
  world.answers.clear();
  world.Await(kPass);
  CHECK(world.registration.registered());
}

TEST_CASE(
    "registration: an agent that does not answer is no complaint, and is asked at once when "
    "somebody hears of it") {
  World world;
  world.Await(kPass);
  world.answers["/v1/agent/"] = "";
  world.Pass(60s);
  CHECK(world.registration.Complaint() == "");
  // Beyond the deadline of a question, and within the pause after it, which is two seconds or more
  // by now.
  const std::size_t asked = world.Asked(kPass);
  world.Await(kPass, asked + 1);
  world.Pass(5'500ms);
  world.answers.clear();
  const net::MonotonicTime before = world.here.loop.now();
  world.here.link->SayBack();
  world.Await(kPass, asked + 2);
  CHECK(world.here.loop.now() - before <= kSlack);
}

TEST_CASE("registration: the entry is removed while it is ours, and no heartbeat follows") {
  World world;
  world.Await(kPass);
  CHECK(world.Took([&](auto done) { world.registration.Remove(done); }) <= kSlack);
  CHECK(world.Asked(kLook) == 1);
  CHECK(world.Asked(kRemove) == 1);
  world.Pass(60s);
  CHECK(world.Asked(kPass) == 1);
}

TEST_CASE("registration: an entry that another process has written since is left alone") {
  for (const char* entry :
       {R"({"ID":"web-proxy","Meta":{"mooring-process":"1"}})", R"({"ID":"web-proxy","Meta":{}})",
        R"({"ID":"web-proxy","Meta":null})", R"({"ID":"web-proxy"})"}) {
    CAPTURE(entry);
    World world;
    world.Await(kPass);
    world.answers[kLook] = test::Ok(entry);
    CHECK_FALSE(world.Suspends());
    CHECK(world.Asked(kFail) == 0);
    world.Pass(60s);
    CHECK(world.Asked(kPass) == 1);  // the heartbeats are the other's
    (void)world.Took([&](auto done) { world.registration.Remove(done); });
    CHECK(world.Asked(kRemove) == 0);
  }
}

TEST_CASE("registration: an entry that nobody has any more is not removed again") {
  World world;
  world.Await(kPass);
  world.answers[kLook] = Says(404, "unknown service ID");
  CHECK(world.Took([&](auto done) { world.registration.Remove(done); }) <= kSlack);
  CHECK(world.Asked(kLook) == 1);
  CHECK(world.Asked(kRemove) == 0);
}

TEST_CASE(
    "registration: where the agent does not say whose the entry is, it stays, and the end waits "
    "four seconds at most") {
  for (const std::string& answer : {Says(500, "rpc error"), Says(429, ""), std::string(),
                                    std::string(Desk::kHangUp), test::Ok("[")}) {
    CAPTURE(answer);
    World world;
    world.Await(kPass);
    world.answers[kLook] = answer;
    CHECK(world.Took([&](auto done) { world.registration.Remove(done); }) <= 4s + kSlack);
    CHECK(world.Asked(kRemove) == 0);
  }
}

TEST_CASE(
    "registration: a drain makes the check critical while the entry is ours, until it is passed "
    "again") {
  World world;
  world.Await(kPass);
  CHECK(world.Suspends());
  CHECK(world.Asked(kFail) == 1);
  world.Pass(60s);
  CHECK(world.Asked(kPass) == 1);
  world.registration.Resume();
  world.Await(kPass, 3);
  CHECK(world.Pauses(kPass).back() <= 10s + kSlack);
}

TEST_CASE("registration: heartbeats go on where the agent does not take the check for critical") {
  World world;
  world.Await(kPass);
  world.answers[kLook] = Says(500, "rpc error");
  CHECK_FALSE(world.Suspends());
  world.Await(kPass, 3);
}

}  // namespace
}  // namespace mooring::control
