// Store on a real loop, thread and directory: when it saves, what it keeps, drops and asks for
// again.
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/state/store.h"
#include "tests/unit/http_fixture.h"
#include "tests/unit/state_fixture.h"

namespace {

using namespace mooring;
using namespace mooring::state;
using net::milliseconds;
using test::RunUntil;
using Clock = std::chrono::steady_clock;

const std::string kPem =
    "-----BEGIN EC PRIVATE KEY-----\\nsecret\\n-----END EC PRIVATE KEY-----\\n";
const std::string kLeaf = R"({"PrivateKeyPEM":")" + kPem + R"("})";

// Home is a state directory, a loop, and stores with short times on them.
struct Home {
  test::TempDir dir;
  test::StandardError log_lines;
  net::Loop loop;
  log::Log log{log::Level::kInfo, /*json=*/false};
  Store::Options options{
      .directory = dir.path(),
      .subdirectory = "service.web",
      .key = {.id = "service.web", .agent = "http://127.0.0.1:8500", .datacenter = "dc1"},
      .keep_private_key = true,
      .expected_datacenter = {},
      .timing = {.gather = milliseconds{5},
                 .spacing = milliseconds{20},
                 .confirm = milliseconds{100},
                 .retry = milliseconds{60},
                 .answer = milliseconds{30},
                 .grace = milliseconds{20'000},
                 .close = milliseconds{2'000}}};

  std::unique_ptr<Store> Open() {
    auto store = Store::Open(loop, log, options);
    if (!store) FAIL(store.error().message);
    return std::move(*store);
  }
  // Lines is how many times the text has been logged.
  std::size_t Lines(const std::string& text) {
    REQUIRE(log.Flush(milliseconds{10'000}));
    return log_lines.Count(text);
  }
  std::string Folder() const { return dir / "service.web"; }
  std::string Path() const { return Folder() + "/state"; }

  // Bodies is what the file holds; nothing if it is not a whole state file.
  std::optional<std::map<std::string, std::string>> Bodies() const {
    const std::string content = test::Content(Path());
    const auto file = Decode(content);
    if (!file) return std::nullopt;
    std::map<std::string, std::string> bodies;
    for (const Entry& entry : file->entries) bodies[entry.name] = entry.body;
    return bodies;
  }
  WallTime Confirmed(const std::string& name) const {
    const std::string content = test::Content(Path());
    const auto file = Decode(content);
    if (!file) return {};
    for (const Entry& entry : file->entries) {
      if (entry.name == name) return entry.confirmed;
    }
    return {};
  }
  void Await(const std::map<std::string, std::string>& bodies) {
    RunUntil(loop, [&] { return Bodies() == bodies; });
  }
  void Pass(milliseconds time) {
    const auto end = Clock::now() + time;
    RunUntil(loop, [end] { return Clock::now() >= end; });
  }
  // Seed leaves a file as an earlier process would have.
  void Seed(const std::vector<std::pair<std::string, std::string>>& documents) {
    auto store = Open();
    for (const auto& [name, body] : documents) {
      store->Keep(store->Follow(name, body == kLeaf, nullptr), {{"x-consul-index", "7"}}, body);
    }
  }
};

Store::Ticket Follow(Store& store, const std::string& name) {
  return store.Follow(name, false, nullptr);
}

std::string BodyOf(const std::optional<Document>& document) {
  return document ? document->body : "(none)";
}

}  // namespace

TEST_CASE("a document is on disk soon after it was kept, and there for the next start") {
  Home home;
  {
    auto store = home.Open();
    CHECK(store->view().file == home.Path());
    CHECK_FALSE(store->view().saved_at);
    const auto roots = Follow(*store, "roots");
    CHECK_FALSE(store->Saved(roots));
    store->Keep(roots, {{"x-consul-index", "12"}}, "ROOTS");
    home.Await({{"roots", "ROOTS"}});
    CHECK(test::ModeOf(home.Path()) == 0600);
    RunUntil(home.loop, [&] { return store->view().saved_at.has_value(); });
    CHECK(store->view().documents == 1);
    CHECK_FALSE(store->view().private_key);
    CHECK(store->view().error.empty());
  }
  auto store = home.Open();
  CHECK(store->view().documents == 1);
  const auto saved = store->Saved(Follow(*store, "roots"));
  REQUIRE(saved);
  CHECK(saved->name == "roots");
  CHECK(saved->body == "ROOTS");
  CHECK(saved->headers == Headers{{"x-consul-index", "12"}});
  CHECK(std::chrono::system_clock::now() - saved->confirmed < std::chrono::minutes(1));
  CHECK(home.Lines("ERROR") == 0);
  CHECK(home.Lines("WARN") == 0);
}

TEST_CASE("changes that come together are saved together, and saves keep their distance") {
  Home home;
  home.options.timing.spacing = milliseconds{150};
  auto store = home.Open();
  std::map<std::string, std::string> all;
  const auto begin = Clock::now();
  for (const std::string name : {"a", "b", "c"}) {
    store->Keep(Follow(*store, name), {}, name + name);
    all[name] = name + name;
  }
  const auto d = Follow(*store, "d");
  home.Await(all);
  RunUntil(home.loop, [&] { return store->view().saved_at.has_value(); });
  const auto first = *store->view().saved_at;
  store->Keep(d, {}, "1");
  store->Keep(d, {}, "2");
  all["d"] = "2";
  home.Await(all);
  RunUntil(home.loop, [&] { return *store->view().saved_at != first; });
  CHECK(*store->view().saved_at - begin >= milliseconds{75});  // half of it, on a slow disk
}

TEST_CASE("the slower the disk, the sooner the next save begins") {
  const Timing timing;
  CHECK(timing.Distance(milliseconds{0}) == milliseconds{900});
  CHECK(timing.Distance(milliseconds{100}) == milliseconds{700});
  CHECK(timing.Distance(milliseconds{225}) == milliseconds{450});
  CHECK(timing.Distance(milliseconds{30'000}) == milliseconds{450});
}

TEST_CASE("an unchanged document is carried over from file to file, only its confirmation moves") {
  Home home;
  auto store = home.Open();
  const auto large = Follow(*store, "large");
  const auto small = Follow(*store, "small");
  const std::string body(300'000, 'L');
  store->Keep(large, {{"h", "1"}}, body);
  home.Await({{"large", body}});
  const WallTime before = home.Confirmed("large");
  store->Keep(small, {}, "S");
  home.Await({{"large", body}, {"small", "S"}});
  CHECK(home.Confirmed("large") == before);

  home.Pass(milliseconds{5});
  store->Keep(large, {{"h", "2"}}, body);
  RunUntil(home.loop, [&] { return home.Confirmed("large") > before; });
  CHECK(home.Bodies() == std::map<std::string, std::string>{{"large", body}, {"small", "S"}});
  CHECK(test::Content(home.Path()).find(R"("headers":{"h":"2"})") != std::string::npos);
}

TEST_CASE("a saved document is handed out once to each follower, until a live answer comes") {
  Home home;
  home.Seed({{"roots", "ROOTS"}, {"leaf", kLeaf}, {"default", "DENY"}});
  auto store = home.Open();
  CHECK(store->view().private_key);
  const auto first = Follow(*store, "roots");
  const auto second = Follow(*store, "roots");
  const auto third = Follow(*store, "roots");
  CHECK(BodyOf(store->Saved(first)) == "ROOTS");
  CHECK_FALSE(store->Saved(first));
  CHECK(BodyOf(store->Saved(second)) == "ROOTS");
  store->Keep(second, {}, "NEW");
  CHECK_FALSE(store->Saved(third));
  CHECK(BodyOf(store->Saved(store->Follow("leaf", true, nullptr))) == kLeaf);
  CHECK_FALSE(store->Saved(store->Follow("leaf", true, nullptr)));
  CHECK_FALSE(store->Saved(0));
  // What was handed out, or not asked for yet, is still what the next start would need.
  home.Await({{"roots", "NEW"}, {"leaf", kLeaf}, {"default", "DENY"}});
}

TEST_CASE("saved documents that nobody wants for long are dropped from memory and from the file") {
  Home home;
  home.Seed({{"roots", "ROOTS"}, {"gone", "GONE"}});
  home.options.timing.grace = milliseconds{60};
  auto store = home.Open();
  const auto roots = Follow(*store, "roots");
  home.Await({{"roots", "ROOTS"}});
  CHECK_FALSE(store->Saved(roots));
  CHECK_FALSE(store->Saved(Follow(*store, "gone")));
}

TEST_CASE("what nobody follows any more is left out of the next save") {
  Home home;
  auto store = home.Open();
  const auto a = Follow(*store, "a");
  const auto again = Follow(*store, "a");
  const auto b = Follow(*store, "b");
  store->Keep(a, {}, "A");
  store->Keep(b, {}, "B");
  home.Await({{"a", "A"}, {"b", "B"}});
  store->Unfollow(a);
  store->Unfollow(a);
  store->Keep(b, {}, "B2");
  home.Await({{"a", "A"}, {"b", "B2"}});
  store->Unfollow(again);
  store->Keep(again, {}, "late");
  home.Await({{"b", "B2"}});
}

TEST_CASE("at the end what is unsaved is written, and the end of following drops nothing") {
  Home home;
  auto store = home.Open();
  const auto a = Follow(*store, "a");
  const auto b = Follow(*store, "b");
  store->Keep(a, {}, "A");
  SUBCASE("closed before the watches go") {
    store->Close();
    store->Keep(b, {}, "B");
    store->Unfollow(a);
  }
  SUBCASE("destroyed after them") {
    store->Unfollow(a);
    store->Unfollow(b);
  }
  SUBCASE("in the middle of a save") {
    const std::string body(20'000'000, 'x');
    store->Keep(b, {}, body);
    home.Pass(milliseconds{7});
    store->Keep(b, {}, "");
    store.reset();
    CHECK(home.Bodies() == std::map<std::string, std::string>{{"a", "A"}, {"b", ""}});
    return;
  }
  store.reset();
  CHECK(home.Bodies() == std::map<std::string, std::string>{{"a", "A"}});
}

TEST_CASE("a private key that is not to be kept is neither written nor left nor handed out") {
  Home home;
  home.Seed({{"leaf", kLeaf}, {"roots", "ROOTS"}, {"odd", "no PEM in here"}});
  REQUIRE(test::Content(home.Path()).find("secret") != std::string::npos);
  home.options.keep_private_key = false;
  auto store = home.Open();
  CHECK(store->view().private_key);
  const auto odd = store->Follow("odd", true, nullptr);
  CHECK_FALSE(store->Saved(odd));
  home.Await({{"roots", "ROOTS"}});  // nobody had to follow or change anything for that
  const auto leaf = store->Follow("leaf", true, [] { FAIL("asked again"); });
  CHECK_FALSE(store->Saved(leaf));
  store->Keep(leaf, {}, kLeaf);
  store->Keep(Follow(*store, "intentions"), {}, "I");
  home.Await({{"intentions", "I"}, {"roots", "ROOTS"}});
  CHECK_FALSE(store->view().private_key);
}

TEST_CASE("a state file that held nothing but the private key loses it as well") {
  Home home;
  home.Seed({{"leaf", kLeaf}});
  home.options.keep_private_key = false;
  auto store = home.Open();
  home.Await({});
}

TEST_CASE("a failed save is said once and tried again; an ordinary body waits for that") {
  Home home;
  auto store = home.Open();
  const auto a = store->Follow("a", false, [] { FAIL("asked again"); });
  store->Keep(a, {}, "A1");
  home.Await({{"a", "A1"}});
  REQUIRE(chmod(home.Folder().c_str(), 0755) == 0);
  store->Keep(a, {}, "A2");
  RunUntil(home.loop, [&] { return !store->view().error.empty(); });
  CHECK(store->view().error.find("mode is 0755") != std::string::npos);
  home.Pass(milliseconds{150});  // some tries more
  CHECK(home.Lines("state not saved; going on from memory") == 1);
  CHECK(home.Lines("state is saved now") == 0);
  REQUIRE(chmod(home.Folder().c_str(), 0700) == 0);
  home.Await({{"a", "A2"}});
  RunUntil(home.loop, [&] { return store->view().error.empty(); });
  CHECK(home.Lines("state is saved now") == 1);
}

TEST_CASE("a secret whose save has failed is not kept in memory but asked for again") {
  Home home;
  auto store = home.Open();
  int asked = 0;
  Store::Ticket leaf = 0;
  leaf = store->Follow("leaf", true, [&] {
    ++asked;
    store->Keep(leaf, {}, "LEAF2");
  });
  const auto roots = Follow(*store, "roots");
  store->Keep(leaf, {}, "LEAF1");
  store->Keep(roots, {}, "R1");
  home.Await({{"leaf", "LEAF1"}, {"roots", "R1"}});
  REQUIRE(chmod(home.Folder().c_str(), 0755) == 0);
  store->Keep(leaf, {}, "LEAF2");
  RunUntil(home.loop, [&] { return !store->view().error.empty(); });
  REQUIRE(chmod(home.Folder().c_str(), 0700) == 0);
  home.Await({{"leaf", "LEAF2"}, {"roots", "R1"}});
  CHECK(asked >= 1);
  RunUntil(home.loop, [&] { return store->view().error.empty(); });
  CHECK(store->view().private_key);
}

TEST_CASE("a secret that nobody can fetch again leaves its whole predecessor in the file") {
  Home home;
  auto store = home.Open();
  int asked = 0;
  const auto leaf = store->Follow("leaf", true, [&] { ++asked; });
  const auto roots = Follow(*store, "roots");
  store->Keep(leaf, {{"h", "1"}}, "LEAF1");
  home.Await({{"leaf", "LEAF1"}});
  const WallTime confirmed = home.Confirmed("leaf");
  REQUIRE(chmod(home.Folder().c_str(), 0755) == 0);
  store->Keep(leaf, {{"h", "2"}}, "LEAF2");
  RunUntil(home.loop, [&] { return !store->view().error.empty(); });
  REQUIRE(chmod(home.Folder().c_str(), 0700) == 0);
  store->Keep(roots, {}, "R1");
  home.Await({{"leaf", "LEAF1"}, {"roots", "R1"}});
  CHECK(home.Confirmed("leaf") == confirmed);
  RunUntil(home.loop, [&] { return asked >= 2; });  // it is not forgotten
  store->Keep(leaf, {}, "LEAF2");                   // the same answer as before, yet to be saved
  home.Await({{"leaf", "LEAF2"}, {"roots", "R1"}});
}

TEST_CASE("documents whose file was removed or damaged are asked for again") {
  Home home;
  auto store = home.Open();
  std::map<std::string, Store::Ticket> tickets;
  std::map<std::string, std::string> all;
  for (const std::string name : {"a", "b"}) {
    all[name] = "body of " + name;
    tickets[name] =
        store->Follow(name, false, [&, name] { store->Keep(tickets[name], {}, all[name]); });
    store->Keep(tickets[name], {}, all[name]);
  }
  home.Await(all);
  std::string reason;
  SUBCASE("removed") {
    REQUIRE(unlink(home.Path().c_str()) == 0);
    reason = "it has been removed";
  }
  SUBCASE("damaged") {
    test::WriteFile(home.Path(), "mooring state 1\nnonsense");
    reason = "its checksum is wrong";
  }
  SUBCASE("the whole directory removed") {
    std::filesystem::remove_all(home.Folder());
    reason = "it has been removed";
  }
  store->Keep(tickets["a"], {}, all["a"] = "changed");
  home.Await(all);
  CHECK(home.Lines(reason) == 1);
}

TEST_CASE("a write beyond the limit on file sizes fails the save, not the process") {
  Home home;
  auto store = home.Open();
  const auto a = Follow(*store, "a");
  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
  const rlimit small{.rlim_cur = 8192, .rlim_max = limit.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const std::string body(20'000, 'x');
  store->Keep(a, {}, body);
  RunUntil(home.loop, [&] { return !store->view().error.empty(); });
  CHECK(store->view().error == "write: File too large");
  CHECK_FALSE(test::Exists(home.Path() + ".new"));
  REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  home.Await({{"a", body}});
}

TEST_CASE("documents too large for one file are not written over a good one") {
  Home home;
  home.options.limit = 2'000;
  auto store = home.Open();
  const auto a = Follow(*store, "a");
  store->Keep(a, {}, "A");
  home.Await({{"a", "A"}});
  store->Keep(a, {}, std::string(2'000, 'A'));
  RunUntil(home.loop, [&] { return !store->view().error.empty(); });
  CHECK(store->view().error == "the documents are too large for one file");
  CHECK(home.Bodies() == std::map<std::string, std::string>{{"a", "A"}});
}

TEST_CASE("while another process holds the lock the state is read but not written") {
  Home home;
  home.Seed({{"a", "A"}});
  auto first = home.Open();
  auto second = home.Open();
  CHECK(second->view().error == "another process holds " + home.Folder() + "/lock");
  CHECK(home.Lines("going on from memory") == 1);
  const auto a = Follow(*second, "a");
  CHECK(BodyOf(second->Saved(a)) == "A");
  second->Keep(a, {}, "A2");
  home.Pass(milliseconds{100});
  CHECK(home.Bodies() == std::map<std::string, std::string>{{"a", "A"}});
  first.reset();
  home.Await({{"a", "A2"}});
  RunUntil(home.loop, [&] { return home.Lines("state is saved now") == 1; });
}

TEST_CASE("a store that knows nothing leaves the file of another alone") {
  Home home;
  auto first = home.Open();
  auto second = home.Open();
  first->Keep(Follow(*first, "a"), {}, "A");
  home.Await({{"a", "A"}});
  first.reset();
  home.Pass(milliseconds{150});  // the second has had its tries by now
  second.reset();
  CHECK(home.Bodies() == std::map<std::string, std::string>{{"a", "A"}});
}

TEST_CASE("state saved for another proxy, agent or datacenter is not used") {
  Home home;
  home.Seed({{"a", "A"}});
  std::string reason;
  SUBCASE("proxy") {
    home.options.key.id = "service.api";
    reason = R"(it was saved for \"service.web\", this is \"service.api\")";
  }
  SUBCASE("agent") {
    home.options.key.agent = "http://10.0.0.1:8500";
    reason = "it was saved from the agent http://127.0.0.1:8500, ours is http://10.0.0.1:8500";
  }
  SUBCASE("datacenter") {
    home.options.expected_datacenter = "dc2";
    reason = R"(it was saved in datacenter \"dc1\", ours is \"dc2\")";
  }
  auto store = home.Open();
  CHECK_FALSE(store->Saved(Follow(*store, "a")));
  CHECK(home.Lines("[ERROR] state: saved state not used") == 1);
  CHECK(home.Lines(reason) == 1);
  store->Keep(Follow(*store, "b"), {}, "B");
  home.Await({{"b", "B"}});
}

TEST_CASE("the datacenter is learnt from the file, and a live one that differs ends its use") {
  Home home;
  home.Seed({{"a", "A"}, {"b", "B"}});
  home.options.key.datacenter.clear();
  home.options.expected_datacenter = "dc1";
  auto store = home.Open();
  CHECK(store->datacenter() == "dc1");
  const auto a = Follow(*store, "a");
  CHECK(BodyOf(store->Saved(a)) == "A");
  SUBCASE("the same") {
    store->SetDatacenter("dc1");
    CHECK(BodyOf(store->Saved(Follow(*store, "b"))) == "B");
    CHECK(home.Lines("ERROR") == 0);
  }
  SUBCASE("another") {
    store->SetDatacenter("dc2");
    CHECK_FALSE(store->Saved(Follow(*store, "b")));
    CHECK(home.Lines("saved state not used") == 1);
    store->Keep(a, {}, "A2");
    store.reset();
    CHECK(home.Bodies() == std::map<std::string, std::string>{{"a", "A2"}});
    CHECK(test::Content(home.Path()).find(R"("datacenter":"dc2")") != std::string::npos);
  }
}

TEST_CASE("a state file that cannot be trusted means a cold start that says why") {
  Home home;
  home.Seed({{"a", "A"}});
  std::string reason;
  SUBCASE("mode") {
    REQUIRE(chmod(home.Path().c_str(), 0644) == 0);
    reason = "mode is 0644, it must be 0600";
  }
  SUBCASE("link") {
    REQUIRE(rename(home.Path().c_str(), (home.dir / "elsewhere").c_str()) == 0);
    REQUIRE(symlink((home.dir / "elsewhere").c_str(), home.Path().c_str()) == 0);
    reason = "it is a symbolic link";
  }
  SUBCASE("FIFO") {
    REQUIRE(unlink(home.Path().c_str()) == 0);
    REQUIRE(mkfifo(home.Path().c_str(), 0600) == 0);
    reason = "it is not a regular file";
  }
  SUBCASE("cut short") {
    const std::string content = test::Content(home.Path());
    test::WriteFile(home.Path(), content.substr(0, content.size() - 1));
    reason = "its checksum is wrong: it is damaged or cut short";
  }
  auto store = home.Open();
  CHECK(home.Lines("[ERROR] state: saved state not used") == 1);
  CHECK(home.Lines(reason) == 1);
  const auto a = Follow(*store, "a");
  CHECK_FALSE(store->Saved(a));
  store->Keep(a, {}, "A2");
  home.Await({{"a", "A2"}});  // and it is put right by the next save
  CHECK(test::ModeOf(home.Path()) == 0600);
}

TEST_CASE("what a killed save has left beside the file is removed at the start") {
  Home home;
  home.Seed({{"a", "A"}});
  test::WriteFile(home.Path() + ".new", kPem);
  auto store = home.Open();
  CHECK_FALSE(test::Exists(home.Path() + ".new"));
  CHECK(BodyOf(store->Saved(Follow(*store, "a"))) == "A");
}

TEST_CASE("without a directory a store hands on what it has heard, and no key") {
  Home home;
  home.options.directory.clear();
  auto store = home.Open();
  CHECK(store->view().file.empty());
  CHECK(store->Documents()->empty());
  const auto roots = Follow(*store, "roots");
  const auto gone = Follow(*store, "gone");
  store->Keep(roots, {{"x-consul-index", "12"}}, "ROOTS");
  store->Keep(gone, {}, "GONE");
  store->Keep(store->Follow("leaf", true, nullptr), {}, kLeaf);
  store->Keep(Follow(*store, "unmarked leaf"), {}, kLeaf);
  CHECK_FALSE(store->Saved(roots));
  store->Unfollow(gone);
  RunUntil(home.loop, [&] { return store->Documents()->find("GONE") == std::string::npos; });
  home.options.handed = *store->Documents();
  CHECK(home.options.handed.find("PRIVATE") == std::string::npos);
  CHECK(store->Leave());
  CHECK(store->Documents()->empty());
  store->Keep(roots, {}, "late");
  CHECK(store->Documents()->empty());

  auto successor = home.Open();
  const auto follower = Follow(*successor, "roots");
  const auto found = successor->Saved(follower);
  REQUIRE(found);
  CHECK(found->handed);
  CHECK(found->body == "ROOTS");
  CHECK(found->headers.at("x-consul-index") == "12");
  CHECK_FALSE(successor->Saved(Follow(*successor, "leaf")));
  CHECK_FALSE(successor->Saved(Follow(*successor, "gone")));
  CHECK(home.Lines("ERROR") == 0);
  // and on to the next, before anything new has been heard
  home.options.handed = *successor->Documents();
  auto third = home.Open();
  CHECK(BodyOf(third->Saved(Follow(*third, "roots"))) == "ROOTS");
}

TEST_CASE("what is handed over counts where it is newer than the file, and is saved then") {
  Home home;
  home.Seed({{"a", "A"}, {"b", "B"}, {"leaf", kLeaf}});
  const auto handed = [&](net::milliseconds later) {
    const WallTime when = home.Confirmed("a") + later;
    const std::vector<Entry> entries{{.name = "a", .headers = {}, .body = "A2", .confirmed = when},
                                     {.name = "b", .headers = {}, .body = "B", .confirmed = when}};
    return *Encode(home.options.key, entries) + "A2B";
  };
  std::string a = "A";
  SUBCASE("newer") {
    home.options.handed = handed(milliseconds{1'000});
    a = "A2";
  }
  SUBCASE("older") { home.options.handed = handed(milliseconds{-1'000}); }
  auto store = home.Open();
  const auto found = store->Saved(Follow(*store, "a"));
  REQUIRE(found);
  CHECK(found->body == a);
  CHECK(found->handed == (a == "A2"));
  CHECK(BodyOf(store->Saved(Follow(*store, "b"))) == "B");
  CHECK(BodyOf(store->Saved(store->Follow("leaf", true, nullptr))) == kLeaf);
  // What a process with a directory hands on is what no file holds yet.
  CHECK(store->Documents()->empty() == (a == "A"));
  home.Await({{"a", a}, {"b", "B"}, {"leaf", kLeaf}});
  RunUntil(home.loop, [&] { return store->Documents()->empty(); });
}

TEST_CASE("what a predecessor of another proxy or agent hands over, or garbage, is not used") {
  Home home;
  const Key key = home.options.key;
  home.options.directory.clear();
  std::string reason;
  SUBCASE("proxy") {
    home.options.key.id = "service.api";
    reason = "it was saved for";
  }
  SUBCASE("agent") {
    home.options.key.agent = "http://10.0.0.1:8500";
    reason = "it was saved from the agent";
  }
  SUBCASE("cut short") { reason = "its checksum"; }
  const std::vector<Entry> entries{{.name = "a", .headers = {}, .body = "A", .confirmed = {}}};
  home.options.handed = *Encode(key, entries) + (reason == "its checksum" ? "" : "A");
  auto store = home.Open();
  CHECK_FALSE(store->Saved(Follow(*store, "a")));
  CHECK(home.Lines("the predecessor's documents are not used") == 1);
  CHECK(home.Lines(reason) == 1);
}

TEST_CASE("a directory that is wrong ends the opening of a store") {
  Home home;
  REQUIRE(chmod(home.dir.path().c_str(), 0755) == 0);
  const auto store = Store::Open(home.loop, home.log, home.options);
  REQUIRE_FALSE(store);
  CHECK(store.error().message == "state directory " + home.dir.path() +
                                     ": mode is 0755, it must be 0700 (chmod 0700 " +
                                     home.dir.path() + ")");
}
