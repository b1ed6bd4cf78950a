// Watch and the Question behind it, with time as an argument: the protocol, rate, retries, trust,
// staleness, the saved answer.
#include "proxy/control/watch.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <new>
#include <string>

#include "proxy/state/store.h"
#include "tests/unit/failing_new.h"
#include "tests/unit/state_fixture.h"
#include "tests/unit/watch_fixture.h"

namespace mooring::control {
namespace {

using namespace std::chrono_literals;
using net::milliseconds;
using test::Blocks;
using test::Index;
using test::kBroken;
using test::Watches;
using Phase = Watch::State::Phase;
using Source = Watch::State::Source;

constexpr char kDoc[] = "/v1/doc";
constexpr char kForbidden[] =
    "HTTP/1.1 403 Forbidden\r\nContent-Length: 17\r\n\r\nPermission denied";

std::string Hash(const std::string& hash) { return "X-Consul-ContentHash: " + hash + "\r\n"; }

TEST_CASE("watch: the index of an answer goes into the next question, which waits for a change") {
  Watches agent([](const std::string& target) {
    return Blocks(target) ? std::string() : test::Ok("a", Index(7));
  });
  Watch& watch = agent.New("doc", Watches::Of(kDoc));
  CHECK(watch.state().phase == Phase::kStarting);
  watch.Start();
  agent.Until([&] { return agent.Asked() == 2; });
  CHECK(agent.desk.questions.front().target == kDoc);
  CHECK(agent.Last() == "/v1/doc?index=7&wait=20000ms");
  CHECK(agent.told["doc"] == "a");
  CHECK(watch.Blocks());
  CHECK(watch.state().version == "7");
  CHECK(watch.state().source == Source::kAgent);
}

TEST_CASE("watch: a document of index 0, or of none, is polled at its interval") {
  for (const char* header : {"X-Consul-Index: 0\r\n", ""}) {
    CAPTURE(header);
    Watches agent([&](const std::string&) { return test::Ok("a", header); });
    auto options = Watches::Of(kDoc);
    options.poll_interval = 1s;
    Watch& watch = agent.New("doc", options);
    watch.Start();
    agent.Until([&] { return agent.Asked() == 4; });
    const auto at = agent.AskedAt(kDoc);
    for (std::size_t i = 1; i < at.size(); ++i) {
      CHECK(at[i] - at[i - 1] >= 900ms);
      CHECK(at[i] - at[i - 1] < 1'100ms);
    }
    CHECK(agent.desk.Asked("index=") == 0);
    CHECK_FALSE(watch.Blocks());
    CHECK(watch.state().version.size() == 12);  // of the content
  }
}

TEST_CASE("watch: a document with a hash is waited for by its hash, which is its version") {
  Watches agent([](const std::string& target) {
    return target.find("hash=") != std::string::npos ? std::string() : test::Ok("a", Hash("f00/1"));
  });
  auto options = Watches::Of(kDoc);
  options.blocking = Watch::Blocking::kHash;
  Watch& watch = agent.New("doc", options);
  watch.Start();
  agent.Until([&] { return agent.Asked() == 2; });
  CHECK(agent.Last() == "/v1/doc?hash=f00%2F1&wait=20000ms");
  CHECK(watch.state().version == "f00/1");
  agent.desk.Say(kDoc, test::Ok("b", Hash("f00/2")));
  agent.Until([&] { return agent.Asked() == 3; });
  CHECK(agent.told["doc"] == "b");
  CHECK(agent.Last() == "/v1/doc?hash=f00%2F2&wait=20000ms");
}

TEST_CASE(
    "watch: an index that never moves though the answer comes at once is asked again once a "
    "second") {
  Watches agent([](const std::string&) { return test::Ok("a", Index(7)); });
  agent.New("doc", Watches::Of(kDoc)).Start();
  agent.Pass(10s);
  CHECK(agent.Asked() >= 10);
  CHECK(agent.Asked() <= 12);
}

TEST_CASE("watch: changes follow each other at once four times, then at four a second") {
  int index = 7;
  Watches agent([&](const std::string&) { return test::Ok("a", Index(++index)); });
  agent.New("doc", Watches::Of(kDoc)).Start();
  agent.Until([&] { return agent.Asked() == 5; });
  CHECK(agent.AskedAt(kDoc)[4] < 100ms);
  agent.Pass(10s);
  CHECK(agent.Asked() >= 4 + 38);
  CHECK(agent.Asked() <= 5 + 41);
}

TEST_CASE(
    "watch: failures are retried by pauses that double from 250 ms to 8 s, less up to half, and "
    "leave what was learnt") {
  bool broken = false;
  Watches agent([&](const std::string& target) {
    return broken ? std::string(kBroken) : Blocks(target) ? std::string() : test::Ok("a", Index(7));
  });
  Watch& watch = agent.New("doc", Watches::Of(kDoc));
  watch.Start();
  agent.Until([&] { return agent.Asked() == 2; });
  broken = true;
  agent.desk.Say(kDoc, kBroken);
  agent.Until([&] { return agent.Asked() == 12; });
  const auto at = agent.AskedAt(kDoc);
  milliseconds most = 250ms;
  for (std::size_t i = 3; i < at.size(); ++i) {
    most = std::min<milliseconds>(most * 2, 8s);
    CAPTURE(i);
    CHECK(at[i] - at[i - 1] >= most / 2);
    CHECK(at[i] - at[i - 1] <= most + 50ms);
  }
  CHECK(agent.told["doc"] == "a");
  CHECK(watch.state().phase == Phase::kRetrying);
  CHECK(watch.state().errors == 10);
  CHECK(watch.state().source == Source::kAgent);
  // The first question after a failure does not wait: it says at once that the agent is back.
  CHECK(agent.Last() == kDoc);
  broken = false;
  agent.Until([&] { return watch.state().phase == Phase::kOk; });
  CHECK(watch.state().last_error.empty());
}

TEST_CASE("watch: the pauses of two who failed at one moment differ") {
  Watches agent([](const std::string&) { return std::string(kBroken); });
  agent.New("one", Watches::Of("/v1/one")).Start();
  agent.New("two", Watches::Of("/v1/two")).Start();
  agent.Until([&] { return agent.AskedAt("one").size() >= 8 && agent.AskedAt("two").size() >= 8; });
  CHECK(agent.AskedAt("one")[7] != agent.AskedAt("two")[7]);
}

TEST_CASE("watch: a 429 or 503 that asks for patience gets it") {
  Watches agent([](const std::string&) {
    return std::string(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n");
  });
  agent.New("doc", Watches::Of(kDoc)).Start();
  agent.Until([&] { return agent.Asked() == 2; });
  CHECK(agent.AskedAt(kDoc)[1] >= 9s);
}

TEST_CASE("watch: who fails is asked at once when the agent answers somebody else again") {
  bool broken = true;
  Watches agent([&](const std::string& target) {
    return broken ? std::string(kBroken) : Blocks(target) ? std::string() : test::Ok("a", Index(7));
  });
  for (const char* name : {"/v1/one", "/v1/two", "/v1/three"})
    agent.New(name, Watches::Of(name)).Start();
  agent.Pass(60s);
  broken = false;
  agent.Until([&] { return agent.told.size() == 1; });
  const net::MonotonicTime first = agent.loop.now();
  agent.Until([&] { return agent.told.size() == 3; });
  CHECK(agent.loop.now() - first < 100ms);
}

// Kept is a store with what a run before has saved of the document.
struct Kept {
  explicit Kept(Watches& agent) : agent_(agent) { Open(); }
  void Open() {
    state::Store::Options options;
    options.directory = dir.path();
    options.subdirectory = "service.web";
    options.key.id = options.subdirectory;
    auto opened = state::Store::Open(agent_.loop, agent_.log, options);
    REQUIRE(opened);
    store = std::move(*opened);
    agent_.agent->UseStore(store.get());
  }
  ~Kept() { agent_.watches.clear(); }

  Watches& agent_;
  test::TempDir dir;
  std::unique_ptr<state::Store> store;
};

TEST_CASE(
    "watch: the saved answer is taken up when the agent has been silent for 300 ms, and its age is "
    "known") {
  bool silent = false;
  Watches agent([&](const std::string& target) {
    return silent || Blocks(target) ? std::string() : test::Ok("saved", Index(7));
  });
  Kept kept(agent);
  agent.New("before", Watches::Of(kDoc)).Start();
  agent.Until([&] { return agent.told.contains("before"); });
  REQUIRE(kept.store->Close());
  agent.watches.clear();
  silent = true;
  kept.Open();
  Watch& watch = agent.New("doc", Watches::Of(kDoc));
  // in whole milliseconds, which may go on inside Start
  const net::MonotonicTime began = agent.loop.now();
  watch.Start();
  agent.Until([&] { return agent.told.contains("doc"); });
  CHECK(agent.loop.now() - began >= 300ms);
  CHECK(agent.loop.now() - began < 500ms);
  CHECK(agent.told["doc"] == "saved");
  CHECK(watch.state().source == Source::kDisk);
  CHECK(watch.AfterLoss());
  CHECK(watch.ConfirmedAt());
  // What the agent says then comes in its place.
  silent = false;
  agent.desk.Say(kDoc, test::Ok("live", Index(9)));
  agent.Until([&] { return agent.told["doc"] == "live"; });
  CHECK(watch.state().source == Source::kAgent);
}

TEST_CASE(
    "watch: the saved answer is taken up at once when the agent fails, and not at all when it "
    "answers in time") {
  bool broken = false;
  Watches agent([&](const std::string& target) {
    return broken ? std::string(kBroken) : Blocks(target) ? std::string() : test::Ok("a", Index(7));
  });
  Kept kept(agent);
  agent.New("before", Watches::Of(kDoc)).Start();
  agent.Until([&] { return agent.told.contains("before"); });
  REQUIRE(kept.store->Close());
  agent.watches.clear();
  kept.Open();
  Watch& good = agent.New("good", Watches::Of(kDoc));
  good.Start();
  agent.Until([&] { return agent.told.contains("good"); });
  agent.Pass(2s);
  CHECK(good.state().source == Source::kAgent);
  CHECK(agent.times["good"] == 1);
  agent.watches.clear();
  kept.Open();
  broken = true;
  const net::MonotonicTime began = agent.loop.now();
  agent.New("bad", Watches::Of(kDoc)).Start();
  agent.Until([&] { return agent.told.contains("bad"); });
  CHECK(agent.loop.now() - began < 300ms);
}

TEST_CASE(
    "watch: what nobody has confirmed for longer than max_stale is too old, and one answer makes "
    "it young") {
  bool broken = false;
  Watches agent([&](const std::string& target) {
    return broken ? std::string(kBroken) : Blocks(target) ? std::string() : test::Ok("a", Index(7));
  });
  agent.agent->SetMaxStale(2min);
  Watch& watch = agent.New("doc", Watches::Of(kDoc));
  watch.Start();
  agent.Until([&] { return agent.Asked() == 2; });
  broken = true;
  agent.desk.Say(kDoc, kBroken);
  agent.Pass(119s);
  CHECK_FALSE(watch.TooOld());
  agent.Pass(2s);
  CHECK(watch.TooOld());
  agent.agent->SetMaxStale(0ms);
  CHECK_FALSE(watch.TooOld());
  agent.agent->SetMaxStale(2min);
  broken = false;
  agent.Until([&] { return watch.state().phase == Phase::kOk; });
  CHECK_FALSE(watch.TooOld());
}

TEST_CASE(
    "watch: an answer that may be less than the truth is taken instead of nothing, or never, and "
    "not instead of a better one") {
  using Partial = Watch::Options::Partial;
  const std::string filtered = "X-Consul-Results-Filtered-By-ACLs: true\r\n";
  const std::string leaderless = "X-Consul-KnownLeader: false\r\n";
  for (const std::string& mark : {filtered, leaderless}) {
    CAPTURE(mark);
    std::string headers = mark;
    Watches agent([&](const std::string& target) {
      return Blocks(target) ? std::string()
                            : test::Ok(headers.empty() ? "whole" : "part", Index(7) + headers);
    });
    auto never = Watches::Of("/v1/never");
    never.partial = Partial::kNever;
    auto instead = Watches::Of("/v1/instead");
    instead.partial = Partial::kInsteadOfNothing;
    auto unmarked = Watches::Of("/v1/unmarked");
    Watch& strict = agent.New("never", never);
    strict.Start();
    Watch& lax = agent.New("instead", instead);
    lax.Start();
    agent.New("unmarked", unmarked).Start();
    agent.Pass(1s);
    CHECK_FALSE(agent.told.contains("never"));
    CHECK(strict.state().phase == Phase::kRetrying);
    CHECK(strict.state().refusal.empty() == (mark == leaderless));
    CHECK(agent.told["instead"] == "part");
    CHECK(lax.state().filtered == (mark == filtered));
    CHECK(agent.told["unmarked"] == "part");
    headers.clear();
    lax.Refresh();
    agent.Until([&] { return agent.told["never"] == "whole"; });
    agent.desk.Say("/v1/instead", test::Ok("whole", Index(8)));
    agent.Until([&] {
      return agent.told["instead"] == "whole" && agent.desk.Asked("instead?index=8") == 1;
    });
    headers = mark;
    agent.desk.Say("/v1/instead", test::Ok("part", Index(9) + mark));
    agent.Pass(3s);
    CHECK(agent.told["instead"] == "whole");
    CHECK(lax.state().phase == Phase::kRetrying);
  }
}

TEST_CASE("watch: a refusal is said at once and every five minutes while it lasts") {
  test::StandardError lines;
  Watches agent([](const std::string&) { return std::string(kForbidden); });
  Watch& watch = agent.New("doc", Watches::Of(kDoc));
  watch.Start();
  const auto said = [&] {
    REQUIRE(agent.log.Flush(10s));
    return lines.Count("agent refuses");
  };
  agent.Pass(1s);
  CHECK(said() == 1);
  CHECK(watch.state().refusal.find("403") != std::string::npos);
  agent.Pass(290s);
  CHECK(said() == 1);
  agent.Pass(22s);
  CHECK(said() == 2);
  agent.Pass(600s);
  CHECK(said() >= 3);
  CHECK(said() <= 4);
}

TEST_CASE("watch: a refusal names the token that was refused, though its file has another by now") {
  test::StandardError lines;
  const test::Desk* desk = nullptr;
  Watches agent([&](const std::string& target) {
    if (target == kDoc) return std::string();
    const bool first = desk->questions.back().token == "token-one";
    return test::Ok(first ? R"({"AccessorID":"of-1"})" : R"({"AccessorID":"of-2"})");
  });
  desk = &agent.desk;
  const test::TempDir dir;
  const std::string file = dir / "token";
  test::WriteFile(file, "token-one");
  const auto service = agent.Service({"", file});
  Watch& watch = agent.New("doc", Watches::Of(kDoc), service.get());
  watch.Start();
  agent.Until([&] { return agent.desk.Asked(kDoc) == 1; });
  test::WriteFile(file, "token-number-two");
  // A front that repeats what it was asked with tells nobody the secret, old as it is.
  agent.desk.Say(kDoc, test::Says(403, "ACL not found: token-one"));
  agent.Until([&] { return agent.desk.Asked("/v1/acl/token/self") == 1; });
  agent.Pass(10ms);
  REQUIRE(agent.log.Flush(10s));
  const std::string before = "the token that " + file + " had before";
  CHECK(lines.Count("agent refuses") == 1);
  CHECK(lines.Count("token=\"accessor of-1, " + before) == 1);
  CHECK(watch.state().refusal.find("does not know " + before) != std::string::npos);
  CHECK(watch.state().refusal.find("token-one") == std::string::npos);
  CHECK(lines.Count("token-number-two") == 0);
  agent.watches.clear();
}

TEST_CASE("watch: what an agent without a leader refuses is an outage, and afterwards a refusal") {
  test::StandardError lines;
  std::string leader = "\"\"";
  Watches agent(
      [&](const std::string& target) {
        return target == "/v1/status/leader" ? test::Ok(leader) : test::Says(403, "ACL not found");
      },
      log::Level::kWarn);
  const auto service = agent.Service({"of-web", "", "its token"});
  Watch& watch = agent.New("doc", Watches::Of(kDoc), service.get());
  watch.Start();
  const auto said = [&](const char* text) {
    REQUIRE(agent.log.Flush(10s));
    return lines.Count(text);
  };
  agent.Pass(60s);
  CHECK(said("[WARN]  agent: the agent has no leader and refuses every token, will retry: "
             "watch=doc") == 1);
  CHECK(said("agent refuses") == 0);
  CHECK(watch.state().last_error.find("or the agent has not reached a leader yet") !=
        std::string::npos);
  leader = "\"127.0.0.1:8300\"";
  agent.Pass(20s);
  CHECK(said("[ERROR] agent: agent refuses: watch=doc") == 1);
  CHECK(said("(deleted, or of another cluster)\" token") == 1);
  CHECK(watch.state().last_error.ends_with("(deleted, or of another cluster)"));
  agent.Pass(60s);
  CHECK(said("agent refuses") == 1);
  agent.watches.clear();
}

TEST_CASE("watch: a question is unanswered once its own wait and two seconds have passed") {
  std::string answer;
  Watches agent([&](const std::string& target) { return Blocks(target) ? "" : answer; });
  Watch& watch = agent.New("doc", Watches::Of(kDoc));
  CHECK_FALSE(watch.UnansweredSince());
  watch.Start();
  const net::MonotonicTime asked = agent.loop.now();
  agent.Pass(1s);
  CHECK_FALSE(watch.UnansweredSince());
  agent.Pass(2s);
  REQUIRE(watch.UnansweredSince());
  CHECK(*watch.UnansweredSince() - asked < 1s);
  answer = test::Ok("a", Index(7));
  agent.desk.Say(kDoc, answer);
  agent.Until([&] { return agent.desk.Asked("index=7") == 1; });
  CHECK_FALSE(watch.UnansweredSince());
  SUBCASE("a blocking one may wait for a change: 20 s, and the sixteenth that a server adds") {
    agent.Pass(22s);
    CHECK_FALSE(watch.UnansweredSince());
    CHECK(watch.state().phase == Phase::kOk);
    agent.Pass(2s);
    CHECK(watch.UnansweredSince());
    agent.Pass(10s);
    agent.Until([&] { return watch.state().errors > 0; });
  }
  SUBCASE("one that is asked beside it may not") {
    answer.clear();
    watch.Refresh();
    agent.Pass(1s);
    CHECK_FALSE(watch.UnansweredSince());
    agent.Pass(2s);
    CHECK(watch.UnansweredSince());
    agent.desk.Say("/v1/doc", test::Ok("a", Index(7)));
    agent.Until([&] { return !watch.UnansweredSince(); });
  }
}

TEST_CASE("watch: a refresh goes beside a blocking question, which is not given up") {
  Watches agent([](const std::string& target) {
    return Blocks(target) ? std::string() : test::Ok("a", Index(7));
  });
  Watch& watch = agent.New("doc", Watches::Of(kDoc));
  watch.Start();
  agent.Until([&] { return agent.Asked() == 2; });
  watch.Refresh();
  agent.Until([&] { return agent.times["doc"] == 2; });
  CHECK(agent.Last() == kDoc);
  CHECK(watch.Blocks());
  agent.desk.Say("/v1/doc?index=7", test::Ok("b", Index(8)));
  agent.Until([&] { return agent.told["doc"] == "b"; });
}

TEST_CASE(
    "watch: one that is refreshed without memory asks all the same, later, and with the token that "
    "it has by then") {
  Watches agent([](const std::string&) { return test::Ok("a", Index(7)); });
  const test::TempDir dir;
  bool rotates = false;
  SUBCASE("it asks something else") {}
  SUBCASE("its token has changed") { rotates = true; }
  test::WriteFile(dir / "token", "token 0");
  const auto service = agent.Service({"", dir / "token"});
  auto options = Watches::Of("/v1/doc");
  options.method = "POST";
  options.blocking = Watch::Blocking::kNone;
  options.poll_interval = 0ms;  // nobody asks but Refresh
  Watch& watch = agent.New("doc", options, service.get());
  watch.Start();
  agent.Until([&] { return agent.told.contains("doc"); });
  std::size_t failed = 1;
  for (std::size_t n = 1; failed > 0; ++n) {
    CAPTURE(n);
    const std::string token = "token " + std::to_string(rotates ? n : 0);
    test::WriteFile(dir / "token", token);
    if (!rotates) watch.SetBody("a body that is number " + std::to_string(n));
    const std::size_t asked = agent.Asked();
    test::FailingNew::Arm(n, 1);
    try {
      watch.Refresh();
    } catch (const std::bad_alloc&) {
    }
    failed = test::FailingNew::Lift().failed;
    agent.Until([&] { return agent.Asked() > asked && watch.state().phase == Phase::kOk; });
    CHECK(agent.desk.questions.back().token == token);
    agent.Pass(20s);
    CHECK(agent.Asked() <= asked + 2);
  }
  agent.watches.clear();
}

TEST_CASE(
    "watch: one that is stopped asks no more, keeps what it knows, and may be started again") {
  Watches agent([](const std::string& target) {
    return Blocks(target) ? std::string() : test::Ok("a", Index(7));
  });
  Watch& watch = agent.New("doc", Watches::Of(kDoc));
  watch.Start();
  agent.Until([&] { return agent.Asked() == 2; });
  watch.Stop();
  agent.desk.Say(kDoc, test::Ok("b", Index(8)));
  agent.Pass(60s);
  CHECK(agent.Asked() == 2);
  CHECK(agent.told["doc"] == "a");
  CHECK(watch.state().source == Source::kAgent);
  watch.Start();
  agent.Until([&] { return agent.times["doc"] == 2; });
}

}  // namespace
}  // namespace mooring::control
