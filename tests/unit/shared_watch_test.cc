// Who asks the same with the same token shares one question: joining, leaving, failing, other
// tokens.
#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "proxy/control/watch.h"
#include "proxy/state/store.h"
#include "tests/unit/state_fixture.h"
#include "tests/unit/watch_fixture.h"

namespace mooring::control {
namespace {

using namespace std::chrono_literals;
using test::Blocks;
using test::Index;
using test::Watches;
using Phase = Watch::State::Phase;

constexpr char kDoc[] = "/v1/doc";
constexpr char kForbidden[] = "HTTP/1.1 403 Forbidden\r\nContent-Length: 13\r\n\r\nACL not found";

std::string Answer(const std::string& target) {
  return Blocks(target) ? std::string() : test::Ok("a", Index(7));
}

// Two services with one token, and one with another.
struct Three : Watches {
  explicit Three(test::Desk::Answer answer = Answer)
      : Watches(std::move(answer)),
        web(Service({"same", ""})),
        db(Service({"same", ""})),
        other(Service({"other", ""})) {}
  ~Three() { watches.clear(); }
  std::size_t Waiting() const { return desk.Asked("index="); }
  std::unique_ptr<Agent> web, db, other;
};

TEST_CASE(
    "shared watch: two services with the same token ask once, and each is told; one with another "
    "token asks itself") {
  Three agent;
  agent.New("web", Watches::Of(kDoc), agent.web.get()).Start();
  agent.New("db", Watches::Of(kDoc), agent.db.get()).Start();
  agent.Until([&] { return agent.told.size() == 2 && agent.Waiting() == 1; });
  CHECK(agent.Asked() == 2);
  agent.New("other", Watches::Of(kDoc), agent.other.get()).Start();
  agent.Until([&] { return agent.told.size() == 3 && agent.Waiting() == 2; });
  CHECK(agent.Asked() == 4);
  CHECK(agent.desk.questions.back().token == "other");
  agent.desk.Say(kDoc, test::Ok("b", Index(8)));
  agent.Until([&] {
    return agent.told["web"] == "b" && agent.told["db"] == "b" && agent.told["other"] == "b";
  });
}

TEST_CASE("shared watch: another path, query, method or body is another question") {
  Three agent;
  agent.New("web", Watches::Of(kDoc), agent.web.get()).Start();
  auto options = Watches::Of(kDoc);
  options.query = "dc=dc2";
  agent.New("query", options, agent.db.get()).Start();
  options = Watches::Of(kDoc);
  options.method = "POST";
  options.blocking = Watch::Blocking::kNone;
  options.body = "{}";
  agent.New("body", options, agent.web.get()).Start();
  options.body = "[]";
  agent.New("other body", options, agent.db.get()).Start();
  agent.Until([&] { return agent.told.size() == 4; });
  CHECK(agent.Asked() - agent.Waiting() == 4);
}

TEST_CASE(
    "shared watch: who joins is told the last answer after the event, without a question, and "
    "waits with the others") {
  Three agent;
  agent.New("web", Watches::Of(kDoc), agent.web.get()).Start();
  agent.Until([&] { return agent.Waiting() == 1; });
  agent.desk.Say(kDoc, test::Ok("b", Index(8)));
  agent.Until([&] { return agent.Waiting() == 2; });
  const std::size_t asked = agent.Asked();
  Watch& late = agent.New("db", Watches::Of(kDoc), agent.db.get());
  late.Start();
  CHECK_FALSE(agent.told.contains("db"));
  agent.Until([&] { return agent.told.contains("db"); });
  CHECK(agent.told["db"] == "b");
  CHECK(late.state().version == "8");
  CHECK(late.Blocks());
  CHECK(agent.Asked() == asked);
  CHECK(agent.times["web"] == 2);
}

TEST_CASE(
    "shared watch: a secret is kept for nobody: who joins has it asked beside the blocking "
    "question") {
  Three agent;
  auto options = Watches::Of(kDoc);
  options.secret = true;
  agent.New("web", options, agent.web.get()).Start();
  agent.Until([&] { return agent.Waiting() == 1; });
  agent.New("db", options, agent.db.get()).Start();
  agent.Until([&] { return agent.told.contains("db"); });
  CHECK(agent.Asked() == 3);
  CHECK(agent.Waiting() == 1);
}

TEST_CASE(
    "shared watch: what is asked for who joins is asked again when nothing came of it, while the "
    "others wait for a change") {
  bool broken = false;
  Three agent([&](const std::string& target) {
    if (Blocks(target)) return std::string();
    return broken ? std::string(test::kBroken) : test::Ok("a", Index(7));
  });
  auto options = Watches::Of(kDoc);
  options.secret = true;
  agent.New("web", options, agent.web.get()).Start();
  agent.Until([&] { return agent.Waiting() == 1; });
  broken = true;
  agent.New("db", options, agent.db.get()).Start();
  agent.Until([&] { return agent.Asked() == 3; });
  broken = false;
  const net::MonotonicTime failed = agent.loop.now();
  agent.Until([&] { return agent.told.contains("db"); });
  CHECK(agent.loop.now() - failed < 9s);
  CHECK(agent.Waiting() == 1);
}

TEST_CASE(
    "shared watch: who joins while the question fails hears why, and is told with the others once "
    "it is answered") {
  bool broken = true;
  Three agent(
      [&](const std::string& target) { return broken ? std::string(kForbidden) : Answer(target); });
  agent.New("web", Watches::Of(kDoc), agent.web.get()).Start();
  agent.Until([&] { return agent.watches.front()->state().phase == Phase::kRetrying; });
  Watch& late = agent.New("db", Watches::Of(kDoc), agent.db.get());
  late.Start();
  agent.Until([&] { return late.state().phase == Phase::kRetrying; });
  CHECK(late.state().last_error == agent.watches.front()->state().last_error);
  broken = false;
  agent.Until([&] { return agent.told.size() == 2; });
  CHECK(late.state().phase == Phase::kOk);
}

TEST_CASE(
    "shared watch: one that leaves is told nothing more, and the question ends with the last") {
  Three agent;
  Watch& web = agent.New("web", Watches::Of(kDoc), agent.web.get());
  web.Start();
  Watch& db = agent.New("db", Watches::Of(kDoc), agent.db.get());
  db.Start();
  agent.Until([&] { return agent.Waiting() == 1; });
  agent.Drop(web);
  agent.desk.Say(kDoc, test::Ok("b", Index(8)));
  agent.Until([&] { return agent.told["db"] == "b" && agent.Waiting() == 2; });
  CHECK(agent.told["web"] == "a");
  db.Stop();
  agent.desk.Say(kDoc, test::Ok("c", Index(9)));
  agent.Pass(60s);
  CHECK(agent.told["db"] == "b");
  CHECK(agent.Waiting() == 2);
}

TEST_CASE(
    "shared watch: an answer that one cannot use harms no other, and is asked again for him beside "
    "the blocking question") {
  std::string now = "a";
  Three agent([&](const std::string& target) {
    return Blocks(target) ? std::string() : test::Ok(now, Index(now == "a" ? 7 : 8));
  });
  bool refuses = true;
  Watch& web = agent.New("web", Watches::Of(kDoc), agent.web.get());
  web.Start();
  Watch& db = agent.New(Watches::Of(kDoc), agent.db.get(), [&](const http::Response& response) {
    if (refuses && response.body == "b") return Status(Invalid("no use"));
    agent.told["db"] = response.body;
    return Ok();
  });
  db.Start();
  agent.Until([&] { return agent.Waiting() == 1; });
  now = "b";
  agent.desk.Say(kDoc, test::Ok("b", Index(8)));
  agent.Until([&] { return agent.Waiting() == 2; });
  CHECK(agent.told["web"] == "b");
  CHECK(web.state().phase == Phase::kOk);
  CHECK(web.state().errors == 0);
  CHECK(db.state().phase == Phase::kRetrying);
  CHECK(db.state().last_error == "doc: no use");
  CHECK(agent.told["db"] == "a");
  // Tried again by pauses of its own, while the others wait for a change.
  const std::size_t waiting = agent.Waiting();
  agent.Pass(10s);
  CHECK(db.state().errors >= 3);
  CHECK(db.state().errors <= 8);
  CHECK(web.state().phase == Phase::kOk);
  CHECK(agent.Waiting() == waiting);
  refuses = false;
  agent.Until([&] { return agent.told["db"] == "b"; });
  CHECK(db.state().phase == Phase::kOk);
}

TEST_CASE(
    "shared watch: a question beside the blocking one of which nothing comes is asked again") {
  std::string now = "a";
  bool broken = false;
  Three agent([&](const std::string& target) {
    if (Blocks(target)) return std::string();
    return broken ? std::string(test::kBroken) : test::Ok(now, Index(now == "a" ? 7 : 8));
  });
  bool refuses = true;
  agent.New("web", Watches::Of(kDoc), agent.web.get()).Start();
  agent
      .New(Watches::Of(kDoc), agent.db.get(),
           [&](const http::Response& response) {
             if (refuses && response.body == "b") return Status(Invalid("no use"));
             agent.told["db"] = response.body;
             return Ok();
           })
      .Start();
  agent.Until([&] { return agent.Waiting() == 1; });
  now = "b";
  broken = true;
  agent.desk.Say(kDoc, test::Ok("b", Index(8)));
  agent.Until([&] { return agent.Waiting() == 2 && agent.Asked() == 4; });
  refuses = broken = false;
  const net::MonotonicTime failed = agent.loop.now();
  agent.Until([&] { return agent.told["db"] == "b"; });
  CHECK(agent.loop.now() - failed < 9s);
  CHECK(agent.Waiting() == 2);
}

TEST_CASE(
    "shared watch: only where nobody can use the answer is the question asked again by a pause") {
  Three agent;
  for (Agent* service : {agent.web.get(), agent.db.get()}) {
    agent
        .New(Watches::Of(kDoc), service,
             [](const http::Response&) { return Status(Invalid("no use")); })
        .Start();
  }
  agent.Until([&] { return agent.Asked() == 4; });
  CHECK(agent.Waiting() == 0);
  CHECK(agent.AskedAt(kDoc)[3] >= 125ms + 250ms + 500ms);
  for (const auto& watch : agent.watches) CHECK(watch->state().phase == Phase::kRetrying);
}

TEST_CASE("shared watch: they may leave, end and join inside their callbacks and those of others") {
  Three agent;
  Watch* web = nullptr;
  Watch* db = nullptr;
  int told = 0;
  const auto count = [&](const http::Response&) {
    ++told;
    return Ok();
  };
  SUBCASE("itself leaves") {
    web = &agent.New(Watches::Of(kDoc), agent.web.get(), [&](const http::Response& response) {
      web->Stop();
      return count(response);
    });
    db = &agent.New(Watches::Of(kDoc), agent.db.get(), count);
  }
  SUBCASE("itself ends") {
    web = &agent.New(Watches::Of(kDoc), agent.web.get(), [&](const http::Response& response) {
      agent.Drop(*web);
      return count(response);
    });
    db = &agent.New(Watches::Of(kDoc), agent.db.get(), count);
  }
  SUBCASE("the next one ends") {
    ++told;
    web = &agent.New(Watches::Of(kDoc), agent.web.get(), [&](const http::Response& response) {
      agent.Drop(*db);
      return count(response);
    });
    db = &agent.New(Watches::Of(kDoc), agent.db.get(), count);
  }
  SUBCASE("the one before ends") {
    web = &agent.New(Watches::Of(kDoc), agent.web.get(), count);
    db = &agent.New(Watches::Of(kDoc), agent.db.get(), [&](const http::Response& response) {
      agent.Drop(*web);
      return count(response);
    });
  }
  SUBCASE("a third one joins") {
    --told;
    web = &agent.New(Watches::Of(kDoc), agent.web.get(), [&](const http::Response& response) {
      agent.New(Watches::Of(kDoc), agent.db.get(), count).Start();
      return count(response);
    });
    db = &agent.New(Watches::Of(kDoc), agent.db.get(), count);
  }
  SUBCASE("it ends at a failure") {
    ++told;
    web = &agent.New(Watches::Of(kDoc), agent.web.get(),
                     [](const http::Response&) { return Status(Invalid("no use")); });
    web->OnError([&](const Error&) { agent.Drop(*web); });
    db = &agent.New(Watches::Of(kDoc), agent.db.get(), count);
  }
  web->Start();
  db->Start();
  agent.Until([&] { return told == 2; });
  agent.Pass(1s);
  CHECK(told == 2);
  agent.watches.clear();
  agent.Pass(60s);
}

TEST_CASE(
    "shared watch: an exception that escapes from one of them leaves the question as it was: it "
    "can be asked at once") {
  int failing = 1;
  Three agent([&](const std::string& target) {
    return failing-- > 0 ? std::string(kForbidden) : Answer(target);
  });
  auto options = Watches::Of(kDoc);
  options.blocking = Watch::Blocking::kNone;
  options.poll_interval = 0ms;  // nobody asks but Refresh
  bool throws = true;
  const auto cut_short = [&](const auto&) {
    if (std::exchange(throws, false)) throw std::bad_alloc();
    return false;
  };
  SUBCASE("hearing of a failure") { agent.New("web", options, agent.web.get()).OnError(cut_short); }
  SUBCASE("asked whether there is such a document") {
    options.is_absent = cut_short;
    agent.New("web", options, agent.web.get());
  }
  SUBCASE("hearing that the others can use what it cannot") {
    failing = 0;
    agent.New("web", options, agent.web.get());
    agent
        .New(options, agent.db.get(),
             [&](const http::Response& response) {
               if (throws) return Status(Invalid("no use"));
               agent.told["db"] = response.body;
               return Ok();
             })
        .OnError(cut_short);
  }
  for (const auto& watch : agent.watches) watch->Start();
  CHECK_THROWS_AS(agent.Until([&] { return !throws; }), std::bad_alloc);
  agent.Until([&] { return agent.told.contains("web"); });
  agent.Pass(30s);
  const std::size_t asked = agent.Asked();
  agent.watches.front()->Refresh();
  agent.Until([&] { return agent.Asked() == asked + 1; });
}

TEST_CASE("shared watch: everybody may end inside one callback, and the question with them") {
  Three agent;
  bool over = false;
  for (Agent* service : {agent.web.get(), agent.db.get()}) {
    agent.New(Watches::Of(kDoc), service, [&](const http::Response&) {
      agent.watches.clear();
      over = true;
      return Ok();
    });
  }
  agent.watches.front()->Start();
  agent.watches.back()->Start();
  agent.Until([&] { return over; });
  agent.Pass(60s);
  CHECK(agent.Asked() == 1);
}

// TwoFiles is two services whose token files hold the same token, and who share one question, which
// waits.
struct TwoFiles : Watches {
  TwoFiles() : Watches(Answer) {
    New("web", Of(kDoc), web.get()).Start();
    New("db", Of(kDoc), db.get()).Start();
    Until([this] { return desk.Asked("index=") == 1; });
  }
  ~TwoFiles() { watches.clear(); }
  void Write(const std::string& service, const std::string& token) {
    test::WriteFile(dir / service, token);
  }
  std::unique_ptr<Agent> With(const std::string& service) {
    Write(service, "first");
    return Service({"", dir / service});
  }

  const test::TempDir dir;
  const std::unique_ptr<Agent> web = With("web");
  const std::unique_ptr<Agent> db = With("db");
};

TEST_CASE(
    "shared watch: whose token has changed asks by himself from the next question on, and who has "
    "the same again shares again") {
  TwoFiles agent;
  CHECK(agent.Asked() == 2);
  agent.Write("db", "second");
  agent.desk.Say(kDoc, test::Ok("b", Index(8)));
  agent.Until([&] { return agent.desk.Asked("index=") == 3; });
  CHECK(agent.desk.questions[3].token != agent.desk.questions[2].token);
  CHECK(agent.Asked() == 5);
  agent.Write("web", "second");
  agent.desk.Say(kDoc, test::Ok("c", Index(9)));
  agent.Until([&] { return agent.told["web"] == "c" && agent.told["db"] == "c"; });
  agent.Pass(1s);
  const std::size_t asked = agent.Asked();
  agent.desk.Say(kDoc, test::Ok("d", Index(10)));
  agent.Until([&] { return agent.told["web"] == "d" && agent.told["db"] == "d"; });
  agent.Pass(1s);
  CHECK(agent.Asked() == asked + 1);
  CHECK(agent.desk.questions.back().token == "second");
}

TEST_CASE(
    "shared watch: what is asked beside a blocking question is asked with the token of all whom it "
    "is told") {
  TwoFiles agent;
  agent.Write("web", "another");
  agent.watches.back()->Refresh();
  agent.Until([&] { return agent.Asked() == 3; });
  CHECK(agent.desk.questions.back().token == "first");
}

TEST_CASE(
    "shared watch: what is the same whatever the token goes on with another's when one is "
    "refused") {
  std::string refused = "same";
  Three* all = nullptr;
  Three agent([&](const std::string& target) {
    return all->desk.questions.back().token == refused || refused == "all" ? std::string(kForbidden)
                                                                           : Answer(target);
  });
  all = &agent;
  auto options = Watches::Of(kDoc);
  options.any_token = true;
  agent.New("web", options, agent.web.get()).Start();
  agent.New("other", options, agent.other.get()).Start();
  agent.Until([&] { return agent.Waiting() == 1; });
  CHECK(agent.told.size() == 2);
  CHECK(agent.Asked() == 3);
  CHECK(agent.desk.questions.back().token == "other");
  CHECK(agent.watches.front()->state().errors == 0);
  // All are: it fails, and begins with the first again.
  refused = "all";
  agent.desk.Say(kDoc, kForbidden);
  agent.Until([&] { return agent.watches.front()->state().phase == Phase::kRetrying; });
  CHECK(agent.watches.back()->state().phase == Phase::kRetrying);
  refused = "other";
  agent.Until([&] { return agent.watches.back()->state().phase == Phase::kOk; });
  CHECK(agent.desk.questions.back().token == "same");
}

TEST_CASE("shared watch: each service keeps the answer in its own store") {
  Three agent;
  const test::TempDir dir;
  std::vector<std::unique_ptr<state::Store>> stores;
  for (Agent* service : {agent.web.get(), agent.db.get()}) {
    state::Store::Options options;
    options.directory = dir.path();
    options.subdirectory = "service." + std::to_string(stores.size());
    options.key.id = options.subdirectory;
    auto opened = state::Store::Open(agent.loop, agent.log, options);
    REQUIRE(opened);
    stores.push_back(std::move(*opened));
    service->UseStore(stores.back().get());
    agent.New(options.subdirectory, Watches::Of(kDoc), service).Start();
  }
  agent.Until([&] { return agent.told.size() == 2; });
  for (const auto& store : stores) {
    REQUIRE(store->Close());
    CHECK(store->view().documents == 1);
  }
  CHECK(agent.Asked() - agent.Waiting() == 1);
  agent.watches.clear();
}

}  // namespace
}  // namespace mooring::control
