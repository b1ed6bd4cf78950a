// Several services over one link to the agent: each with its own token, store and limit of
// staleness.
#include "proxy/control/agent_link.h"

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/control/agent.h"
#include "proxy/control/watch.h"
#include "proxy/state/store.h"
#include "tests/unit/agent_desk.h"
#include "tests/unit/failing_new.h"
#include "tests/unit/state_fixture.h"

namespace mooring::control {
namespace {

using net::milliseconds;
using test::Desk;
using test::RunUntil;

struct Fixture {
  Fixture() {
    auto made = AgentLink::Make(loop, log, desk.settings());
    REQUIRE(made);
    link = std::move(*made);
  }
  std::unique_ptr<Agent> Service(const Token::Origin& token) {
    auto made = Agent::Make(*link, token);
    REQUIRE(made);
    return std::move(*made);
  }
  // Ask is what the agent was told the token is.
  std::string Ask(Agent& agent) {
    bool answered = false;
    const auto asker = agent.NewAsker();
    asker->Send(agent.NewRequest("GET", "/v1/x", ""),
                [&](const Result<http::Response>&) { answered = true; });
    RunUntil(loop, [&] { return answered; });
    return desk.questions.back().token;
  }

  net::Loop loop;
  log::Log log{log::Level::kError, false};
  Desk::Answer answer = [](const std::string&) { return test::Ok("[]", test::Index(7)); };
  Desk desk{loop, [this](const std::string& target) { return answer(target); }};
  std::unique_ptr<AgentLink> link;
};

TEST_CASE("agent link: each service asks with its own token, over one connection") {
  Fixture fixture;
  const auto web = fixture.Service({"of-web", ""});
  const auto db = fixture.Service({"of-db", ""});
  const auto none = fixture.Service({});
  CHECK(fixture.Ask(*web) == "of-web");
  CHECK(fixture.Ask(*db) == "of-db");
  CHECK(fixture.Ask(*none).empty());
  CHECK(fixture.desk.accepted == 1);
  CHECK(web->Blot("of-web and of-db") == "(the token) and of-db");
  CHECK(none->TokenName() == "no token");
  CHECK(web->TokenName() == "the token given by -token, agent.token or CONSUL_HTTP_TOKEN");
  CHECK(fixture.Service({"mine", "", "its own token"})->TokenName() == "its own token");
}

TEST_CASE(
    "agent link: who names the same file has the same token, before and after its rotation; who "
    "was given the same secret keeps it") {
  Fixture fixture;
  const test::TempDir dir;
  test::WriteFile(dir / "token", "first\n");
  const auto web = fixture.Service({"", dir / "token"});
  const auto db = fixture.Service({"", dir / "token"});
  const auto other = fixture.Service({"first", ""});
  CHECK(fixture.Ask(*other) == fixture.Ask(*web));
  test::WriteFile(dir / "token", "second, and longer\n");
  CHECK(fixture.Ask(*web) == "second, and longer");
  CHECK(fixture.Ask(*db) == "second, and longer");
  CHECK(fixture.Ask(*other) == "first");
  // A file that is gone for a moment leaves the token in force, and an empty one the token that was
  // given.
  REQUIRE(unlink((dir / "token").c_str()) == 0);
  CHECK(fixture.Ask(*web) == "second, and longer");
  test::WriteFile(dir / "empty", " \n");
  const auto empty = fixture.Service({"given", dir / "empty"});
  CHECK(fixture.Ask(*empty) == "given");
}

TEST_CASE(
    "agent link: a token file that cannot be read is an error that names it, for the service that "
    "has it alone") {
  Fixture fixture;
  const auto web = fixture.Service({"of-web", ""});
  const auto made = Agent::Make(*fixture.link, {"", "/nowhere/token"});
  REQUIRE_FALSE(made);
  CHECK(made.error().message.find("Error loading token file: ") == 0);
  CHECK(made.error().message.find("/nowhere/token") != std::string::npos);
  CHECK(fixture.Ask(*web) == "of-web");
}

TEST_CASE("agent link: each token that is asked about is named by its own accessor, once") {
  Fixture fixture;
  const test::TempDir dir;
  const std::string file = dir / "token";
  test::WriteFile(file, "first");
  const auto web = fixture.Service({"given", file, "the token of the settings"});
  fixture.answer = [&](const std::string&) {
    return test::Ok(R"({"AccessorID":"of-)" + fixture.desk.questions.back().token + R"("})");
  };
  (void)fixture.Ask(*web);
  test::WriteFile(file, "second, and longer");
  (void)web->Secret();
  std::vector<std::string> names;
  const auto note = [&](const Agent::Examined& one) { names.push_back(one.token); };
  for (const char* secret : {"first", "second, and longer", "first", "given", ""})
    web->Examine(secret, note);
  RunUntil(fixture.loop, [&] { return names.size() == 5; });
  CHECK(names ==
        std::vector<std::string>{"accessor of-first, the token that " + file + " had before",
                                 "accessor of-first, the token that " + file + " had before",
                                 "accessor of-second, and longer, the token of " + file,
                                 "accessor of-given, the token of the settings", "no token"});
  CHECK(fixture.desk.Asked("/v1/acl/token/self") == 3);
  CHECK(web->Blot("given, second, and longer, first", "first") ==
        "(the token), (the token), (the token)");
}

TEST_CASE(
    "agent link: what an agent says of its leader is told, and of a token only if it has one") {
  struct Row {
    std::string says;
    bool leaderless, led;
  };
  for (const Row& row :
       {Row{test::Ok("\"127.0.0.1:8300\""), false, true}, Row{test::Ok("\"\"\n"), true, false},
        Row{test::Says(500, "No known Consul servers"), true, false},
        Row{test::Says(404, ""), false, false},
        Row{test::Says(403, "Permission denied"), false, false}, Row{test::Ok("[]"), false, false},
        Row{Desk::kHangUp, false, false}}) {
    CAPTURE(row.says);
    Fixture fixture;
    const auto web = fixture.Service({"of-web", ""});
    fixture.answer = [&](const std::string& target) {
      return target == "/v1/status/leader" ? row.says : test::Ok(R"({"AccessorID":"a"})");
    };
    std::optional<Agent::Examined> examined;
    web->Examine("of-web", [&](const Agent::Examined& one) { examined = one; });
    RunUntil(fixture.loop, [&] { return examined.has_value(); });
    CHECK(examined->leaderless == row.leaderless);
    CHECK(examined->led == row.led);
    if (row.says != Desk::kHangUp)
      CHECK((examined->token.find("accessor a") == 0) != row.leaderless);
    CHECK(fixture.link->HasReachedLeader() == row.led);
    CHECK(fixture.desk.All("status/leader").front().token.empty());
  }
}

TEST_CASE(
    "agent link: a refusal says whose token it is, what that lacks, and what is not certain") {
  struct Row {
    std::string token, body;
    bool led;
    std::string_view gives, text;
  };
  const std::string other = "it takes service:write on \"x\"";
  for (const Row& row : {
           Row{"of-web", "ACL not found", true, kIdentityGives,
               "doc: the agent answered 403 (ACL not found); the agent does not know its token "
               "(deleted, or of another cluster)"},
           Row{"of-web", "ACL not found", false, kIdentityGives,
               "doc: the agent answered 403 (ACL not found); the agent does not know its token "
               "(deleted, or of another cluster), or the agent has not reached a leader yet"},
           Row{"of-web", "Permission denied", true, kIdentityGives,
               "doc: the agent answered 403 (Permission denied); a permission is missing from its "
               "token (a service identity for this service has it)"},
           Row{"of-web", "Permission denied", false, other,
               "doc: the agent answered 403 (Permission denied); a permission is missing from its "
               "token (it takes service:write on \"x\"), or the agent has not reached a leader "
               "yet"},
           Row{"", "Permission denied", true, other,
               "doc: the agent answered 403 (Permission denied); it was asked without a token, "
               "which lacks a permission (it takes service:write on \"x\")"},
       }) {
    CAPTURE(row.text);
    Fixture fixture;
    const auto web = fixture.Service({row.token, "", "its token"});
    if (row.led) fixture.link->NoteLeader();
    http::Response response;
    response.status = 403;
    response.body = row.body;
    const Error error = Explain(response, *web, "doc", row.token, row.gives);
    CHECK(error.code == ErrorCode::kDenied);
    CHECK(error.message == row.text);
    const Agent::Examined led{.token = "", .led = true};
    CHECK(led.Sure(error.message).find("leader") == std::string::npos);
    CHECK(Agent::Examined{}.Sure(error.message) == error.message);
  }
}

TEST_CASE("agent link: a token whose name there was no memory to ask for is asked for again") {
  std::size_t failed = 1;
  for (std::size_t n = 1; failed > 0; ++n) {
    CAPTURE(n);
    Fixture fixture;
    const auto web = fixture.Service({"of-web", ""});
    Agent::OnExamined unheard = [](const Agent::Examined&) {};
    test::FailingNew::Arm(n, 1);
    try {
      web->Examine("of-web", std::move(unheard));
    } catch (const std::bad_alloc&) {
    }
    failed = test::FailingNew::Lift().failed;
    bool named = false;
    web->Examine("of-web", [&](const Agent::Examined&) { named = true; });
    RunUntil(fixture.loop, [&] { return named; });
  }
}

TEST_CASE(
    "agent link: each service keeps what it was told in its own store, and has its own limit of "
    "staleness") {
  Fixture fixture;
  const test::TempDir dir;
  const auto web = fixture.Service({"of-web", ""});
  const auto db = fixture.Service({"of-db", ""});
  std::vector<std::unique_ptr<state::Store>> stores;
  for (Agent* agent : {web.get(), db.get()}) {
    state::Store::Options options;
    options.directory = dir.path();
    options.subdirectory =
        state::Folder::SubdirectoryName("service", agent == web.get() ? "web" : "db");
    options.key.id = options.subdirectory;
    auto store = state::Store::Open(fixture.loop, fixture.log, options);
    REQUIRE(store);
    stores.push_back(std::move(*store));
    agent->UseStore(stores.back().get());
  }
  web->SetMaxStale(std::chrono::minutes(5));
  CHECK(db->max_stale().count() == 0);
  Watch::Options options;
  options.name = "leaf";
  options.path = "/v1/leaf";
  bool told = false;
  Watch watch(fixture.loop, fixture.log, *db, options, [&](const http::Response&) {
    told = true;
    return Ok();
  });
  watch.Start();
  RunUntil(fixture.loop, [&] { return told && stores[1]->view().documents == 1; });
  CHECK(stores[0]->view().documents == 0);
}

TEST_CASE("agent link: a token file that holds no token is named, and a broken one is an error") {
  Fixture fixture;
  const test::TempDir dir;
  const std::string file = dir / "token";
  test::WriteFile(file, " \n");
  const auto empty = fixture.Service({"", file});
  CHECK(empty->TokenName() == "no token (the token file " + file + " is empty)");
  http::Response refused;
  refused.status = 403;
  refused.body = "Permission denied";
  CHECK(Explain(refused, *empty, "roots", "")
            .message.starts_with("roots: the agent answered 403 (Permission denied); it was asked "
                                 "without a token (the token file " +
                                 file + " is empty), which lacks a permission ("));

  const auto good = dir / "good";
  test::WriteFile(good, "first\n");
  const auto agent = fixture.Service({"", good});
  for (const std::string broken : {"\xef\xbb\xbfone\n", "one\ntwo\n"}) {
    test::WriteFile(file + "-broken", broken);
    const auto made = Agent::Make(*fixture.link, {"", file + "-broken"});
    REQUIRE_FALSE(made);
    CHECK(made.error().message.find(file + "-broken: the token ") != std::string::npos);
    // what was read before stays in force
    test::WriteFile(good, broken);
    CHECK(agent->Secret() == "first");
  }
}

}  // namespace
}  // namespace mooring::control
