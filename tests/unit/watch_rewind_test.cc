// Watch and answers that are older than the last one: of another life of the agent, or of a server
// that has just started and reads its log. Time is an argument.
#include "proxy/control/rewind.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <utility>

#include "proxy/control/watch.h"
#include "tests/unit/watch_fixture.h"

namespace mooring::control {
namespace {

using namespace std::chrono_literals;
using test::Blocks;
using test::Index;
using test::kBroken;
using test::Watches;
using Phase = Watch::State::Phase;

constexpr char kDoc[] = "/v1/doc";
constexpr char kNoLeader[] = "\"\"";
constexpr char kLeader[] = "\"127.0.0.1:1\"";

TEST_CASE(
    "watch: an index that went backwards is of another life of the agent, so the next question "
    "starts without one") {
  int index = 7;
  Watches agent([&](const std::string& target) {
    return Blocks(target) ? std::string() : test::Ok("a", Index(index));
  });
  agent.New("doc", Watches::Of(kDoc)).Start();
  agent.Until([&] { return agent.Asked() == 2; });
  index = 3;
  agent.desk.Say("/v1/doc?index=7", test::Ok("b", Index(3)));
  agent.Until([&] { return agent.Asked() == 4; });
  CHECK(agent.told["doc"] == "a");  // that of the question without an index, which came last
  CHECK(agent.times["doc"] == 3);
  CHECK(agent.desk.questions[2].target == kDoc);
  CHECK(agent.desk.questions[3].target == "/v1/doc?index=3&wait=20000ms");
}

// AgentOfBefore is told index 9, and then that its server has started anew: index 3 at first.
struct AgentOfBefore {
  std::string said = "old";
  int index = 3;
  std::string leader;  // an answer of /v1/status/leader
  bool gone = false;
  Watches agent{[this](const std::string& target) {
    if (target == "/v1/status/leader") return leader;
    if (!gone) return Blocks(target) ? std::string() : test::Ok("new", Index(9));
    return Blocks(target) ? std::string() : test::Ok(said, Index(index));
  }};

  explicit AgentOfBefore(std::string of) : leader(std::move(of)) {
    auto options = Watches::Of(kDoc);
    options.rewinds = Watch::Options::Rewinds::kWait;
    agent.New("doc", options).Start();
    agent.Until([this] { return agent.Asked() == 2; });
    gone = true;
    agent.desk.Say("/v1/doc?index=9", test::Desk::kHangUp);
  }
  const Watch::State& state() const { return agent.watches.front()->state(); }
};

TEST_CASE("watch: what a server says of before its start is not believed while it has no leader") {
  AgentOfBefore world(test::Ok(kNoLeader));
  world.agent.Pass(60s);
  CHECK(world.agent.told["doc"] == "new");
  CHECK(world.agent.times["doc"] == 1);
  CHECK(world.state().phase == Phase::kRetrying);
  CHECK(world.state().last_error.find("the agent's index went backwards") != std::string::npos);
  world.leader = test::Ok(kLeader);
  world.index = 9;
  world.said = "new";
  world.agent.Until([&] { return world.state().phase == Phase::kOk; });
  CHECK(world.agent.told["doc"] == "new");
}

TEST_CASE("watch: a lower index that stays is believed soon after a leader is known") {
  AgentOfBefore world(test::Ok(kLeader));
  world.agent.Pass(1'900ms);
  CHECK(world.agent.told["doc"] == "new");
  world.agent.Pass(6s);
  CHECK(world.agent.told["doc"] == "old");
  CHECK(world.state().index == 3);
  CHECK(world.state().phase == Phase::kOk);
}

TEST_CASE("watch: a lower index is believed after a while where nobody tells of a leader") {
  AgentOfBefore world(test::Says(403, "no"));
  world.agent.Pass(7'500ms);
  CHECK(world.agent.told["doc"] == "new");
  world.agent.Pass(9s);
  CHECK(world.agent.told["doc"] == "old");
}

TEST_CASE("watch: of what may go backwards at any time a lower index counts while nothing failed") {
  std::string leader = test::Ok(kNoLeader);
  int index = 7;
  bool broken = false;
  Watches agent{[&](const std::string& target) {
    if (target == "/v1/status/leader") return leader;
    if (broken) return std::string(kBroken);
    return Blocks(target) ? std::string() : test::Ok("of " + std::to_string(index), Index(index));
  }};
  auto options = Watches::Of(kDoc);
  options.rewinds = Watch::Options::Rewinds::kWaitAfterFailure;
  Watch& watch = agent.New("doc", options);
  watch.Start();
  agent.Until([&] { return agent.Asked() == 2; });
  index = 5;
  agent.desk.Say("/v1/doc?index=7", test::Ok("of 5", Index(5)));
  agent.Until([&] { return agent.told["doc"] == "of 5" && watch.state().index == 5; });
  CHECK(watch.state().errors == 0);
  broken = true;
  agent.desk.Say("/v1/doc?index=5", kBroken);
  agent.Until([&] { return watch.state().errors > 0; });
  broken = false;
  index = 3;
  agent.Pass(20s);
  CHECK(agent.told["doc"] == "of 5");
  leader = test::Ok(kLeader);
  agent.Until([&] { return agent.told["doc"] == "of 3"; });
}

// A document that nothing numbers, of an agent that fails and comes back.
struct Unnumbered {
  std::string said = "new";
  std::string leader = test::Ok(kNoLeader);
  Watches agent{[this](const std::string& target) {
    return target == "/v1/status/leader" ? leader : said.empty() ? kBroken : test::Ok(said);
  }};

  Unnumbered() {
    auto options = Watches::Of(kDoc);
    options.rewinds = Watch::Options::Rewinds::kWait;
    agent.New("doc", options).Start();
    agent.Until([this] { return agent.times["doc"] == 1; });
  }
  Watch& watch() { return *agent.watches.front(); }
};

TEST_CASE("watch: what nothing numbers is believed at once while nothing has failed") {
  Unnumbered world;
  world.said = "newer";
  world.agent.Until([&] { return world.agent.told["doc"] == "newer"; });
  CHECK(world.watch().state().errors == 0);
}

TEST_CASE("watch: what nothing numbers waits for a leader after a failure or a doubt") {
  for (const bool doubted : {true, false}) {
    CAPTURE(doubted);
    Unnumbered world;
    if (doubted) {
      world.watch().Doubt();
    } else {
      world.said.clear();
      world.agent.Until([&] { return world.watch().state().errors > 0; });
    }
    world.said = "old";
    world.agent.Pass(60s);
    CHECK(world.agent.told["doc"] == "new");
    world.leader = test::Ok(kLeader);
    world.said = "newer";
    const auto back = world.agent.loop.now();
    world.agent.Until([&] { return world.agent.told["doc"] == "newer"; });
    CHECK(world.agent.loop.now() - back >= 2s);
    CHECK(world.watch().state().phase == Phase::kOk);
  }
}

TEST_CASE("watch: what nothing numbers is believed at once when something else vouches for it") {
  Unnumbered world;
  world.said.clear();
  world.agent.Until([&] { return world.watch().state().errors > 0; });
  world.said = "old";
  world.agent.Pass(20s);
  CHECK(world.agent.told["doc"] == "new");
  world.said = "newer";
  world.watch().Vouch();
  world.watch().Refresh();
  const auto vouched = world.agent.loop.now();
  world.agent.Until([&] { return world.agent.told["doc"] == "newer"; });
  CHECK(world.agent.loop.now() - vouched < 100ms);
  // until the next failure
  world.said.clear();
  world.agent.Until([&] { return world.watch().state().phase == Phase::kRetrying; });
  world.said = "old";
  world.agent.Pass(20s);
  CHECK(world.agent.told["doc"] == "newer");
}

}  // namespace
}  // namespace mooring::control
