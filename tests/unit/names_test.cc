#include "proxy/net/names.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "proxy/control/endpoint_names.h"
#include "proxy/net/name_sources.h"

namespace mooring::net {
namespace {

SocketAddress Ip(const std::string& literal, std::uint16_t port = 0) {
  return *SocketAddress::FromLiteral(Address::Tcp(literal, port));
}

Names::Found Good(const std::string& literal) { return std::vector<SocketAddress>{Ip(literal)}; }
Names::Found Bad(const std::string& why = "no DNS server answers") {
  return Error{ErrorCode::kUnavailable, why};
}

// World is a resolver and a clock, both moved by hand.
struct World {
  struct Question {
    std::string host;
    NameKind kind;
    std::function<void(Names::Found)> answer;
  };

  Names names{
      {[this](const std::string& host, NameKind kind, std::function<void(Names::Found)> answer) {
         asked.push_back(host);
         open.push_back({host, kind, std::move(answer)});
       },
       [this] { return now; }, [this](milliseconds delay) { wake_at = now + delay; },
       [this] { return random; }}};
  MonotonicTime now{std::chrono::hours(1)};
  MonotonicTime wake_at = MonotonicTime::max();
  double random = 0;
  std::vector<std::string> asked;  // ever
  std::vector<Question> open;      // look-ups under way

  void Answer(const std::string& host, const Names::Found& found) {
    const auto at = std::find_if(open.begin(), open.end(),
                                 [&](const Question& each) { return each.host == host; });
    REQUIRE_MESSAGE(at != open.end(), host);
    const auto answer = at->answer;
    open.erase(at);
    answer(found);
  }
  void Pass(milliseconds time) {
    const MonotonicTime end = now + time;
    while (wake_at <= end) {
      now = std::max(now, wake_at);
      wake_at = MonotonicTime::max();
      names.Tick();
    }
    now = end;
  }
  std::size_t Asked(const std::string& host) const {
    return static_cast<std::size_t>(std::count(asked.begin(), asked.end(), host));
  }
};

struct Heard {
  std::vector<std::string> answers;  // an address, or the error
  Names::OnFound Hear() {
    return [this](const Names::Found& found) {
      answers.push_back(found ? found->front().Text() : found.error().message);
    };
  }
};

}  // namespace

TEST_CASE(
    "names: a name has one look-up under way however many ask, in whatever case, and all are "
    "told") {
  World world;
  Heard heard;
  const auto one = world.names.Ask("Agent.test", NameKind::kOwn, heard.Hear());
  const auto two = world.names.Ask("agent.test", NameKind::kOwn, heard.Hear());
  const auto three = world.names.Follow("AGENT.test", NameKind::kEndpoint, heard.Hear());
  CHECK(world.asked == std::vector<std::string>{"agent.test"});
  world.Answer("agent.test", Good("10.0.0.1"));
  CHECK(heard.answers == std::vector<std::string>(3, "10.0.0.1:0"));
}

TEST_CASE(
    "names: a failed name is asked again after 2, 4, 8, 16 and then 30 seconds, one of our own "
    "after 4 at most") {
  World world;
  Heard heard;
  const auto dead = world.names.Follow("dead.test", NameKind::kEndpoint, heard.Hear());
  const auto own = world.names.Follow("own.test", NameKind::kOwn, heard.Hear());
  std::size_t times = 1;
  for (const int wait : {2'000, 4'000, 8'000, 16'000, 30'000, 30'000}) {
    world.Answer("dead.test", Bad());
    world.Pass(milliseconds(wait - 1));
    CHECK(world.Asked("dead.test") == times);
    world.Pass(milliseconds(1));
    CHECK(world.Asked("dead.test") == ++times);
  }
  times = 1;
  for (const int wait : {2'000, 4'000, 4'000}) {
    world.Answer("own.test", Bad());
    world.Pass(milliseconds(wait - 1));
    CHECK(world.Asked("own.test") == times);
    world.Pass(milliseconds(1));
    CHECK(world.Asked("own.test") == ++times);
  }
}

TEST_CASE(
    "names: waits are jittered downwards, by up to half after a failure and by up to a tenth after "
    "a good answer") {
  World world;
  world.random = 1;
  Heard heard;
  const auto name = world.names.Follow("a.test", NameKind::kEndpoint, heard.Hear());
  world.Answer("a.test", Bad());
  world.Pass(milliseconds(999));
  CHECK(world.Asked("a.test") == 1);
  world.Pass(milliseconds(1));
  CHECK(world.Asked("a.test") == 2);
  world.Answer("a.test", Good("10.0.0.1"));
  world.Pass(milliseconds(26'999));
  CHECK(world.Asked("a.test") == 2);
  world.Pass(milliseconds(1));
  CHECK(world.Asked("a.test") == 3);
}

TEST_CASE("names: a good name is asked again after 30 seconds, and the backoff begins anew") {
  World world;
  Heard heard;
  const auto name = world.names.Follow("a.test", NameKind::kEndpoint, heard.Hear());
  world.Answer("a.test", Bad());
  world.Pass(milliseconds(2'000));
  world.Answer("a.test", Good("10.0.0.1"));
  world.Pass(milliseconds(29'999));
  CHECK(world.Asked("a.test") == 2);
  world.Pass(milliseconds(1));
  CHECK(world.Asked("a.test") == 3);
  world.Answer("a.test", Bad());
  CHECK(name.Known()->front() == Ip("10.0.0.1"));
  world.Pass(milliseconds(2'000));
  CHECK(world.Asked("a.test") == 4);
}

TEST_CASE(
    "names: who waits gets the address of before after a second without an answer, and at once "
    "during a failure") {
  World world;
  Heard first, second, third, fourth;
  const auto one = world.names.Ask("agent.test", NameKind::kOwn, first.Hear());
  world.Answer("agent.test", Good("10.0.0.1"));
  const auto two = world.names.Ask("agent.test", NameKind::kOwn, second.Hear());
  CHECK(world.Asked("agent.test") == 2);  // who waits wants to know what is true now
  world.Pass(milliseconds(999));
  CHECK(second.answers.empty());
  world.Pass(milliseconds(1));
  CHECK(second.answers == std::vector<std::string>{"10.0.0.1:0"});
  const auto three = world.names.Ask("agent.test", NameKind::kOwn, third.Hear());
  CHECK(third.answers.empty());  // never from inside
  world.Pass(milliseconds(0));
  CHECK(third.answers == std::vector<std::string>{"10.0.0.1:0"});
  world.Answer("agent.test", Bad());
  const auto four = world.names.Ask("agent.test", NameKind::kOwn, fourth.Hear());
  world.Pass(milliseconds(0));
  CHECK(fourth.answers == std::vector<std::string>{"10.0.0.1:0"});
  CHECK(world.Asked("agent.test") == 2);
}

TEST_CASE(
    "names: who asks during the backoff of a name that never resolved waits for the next look-up") {
  World world;
  Heard first, second;
  const auto one = world.names.Ask("agent.test", NameKind::kOwn, first.Hear());
  world.Answer("agent.test", Bad());
  CHECK(first.answers == std::vector<std::string>{"no DNS server answers"});
  const auto two = world.names.Ask("agent.test", NameKind::kOwn, second.Hear());
  world.Pass(milliseconds(1'999));
  CHECK(world.Asked("agent.test") == 1);
  world.Pass(milliseconds(1));
  world.Answer("agent.test", Good("10.0.0.1"));
  CHECK(second.answers == std::vector<std::string>{"10.0.0.1:0"});
}

TEST_CASE(
    "names: no number of dead endpoints holds up a name of our own, or a new endpoint for more "
    "than a second") {
  World world;
  Heard heard;
  std::vector<Names::Interest> dead;
  for (int i = 0; i < 900; ++i) {
    dead.push_back(
        world.names.Follow("dead" + std::to_string(i), NameKind::kEndpoint, heard.Hear()));
  }
  CHECK(world.open.size() == Names::kMaxQuick);
  const auto own = world.names.Ask("agent.test", NameKind::kOwn, heard.Hear());
  CHECK(world.Asked("agent.test") == 1);
  const auto good = world.names.Follow("good.test", NameKind::kEndpoint, heard.Hear());
  world.Pass(milliseconds(4'000));  // 900 = 512 + the rest
  CHECK(world.Asked("good.test") == 1);
  world.Answer("good.test", Good("10.0.0.1"));
  CHECK(world.open.size() == 901);
  // All have failed once: from here on few of them are asked at a time, and a new name at once.
  while (!world.open.empty()) world.Answer(world.open.front().host, Bad());
  world.Pass(milliseconds(2'000));
  CHECK(world.open.size() == Names::kMaxSlow);
  const auto newer = world.names.Follow("newer.test", NameKind::kEndpoint, heard.Hear());
  CHECK(world.Asked("newer.test") == 1);
  world.Pass(milliseconds(60'000));
  CHECK(world.open.size() <= Names::kMaxSlow + 1);
}

TEST_CASE("names: look-ups for endpoints are bounded in number, whatever their age") {
  World world;
  Heard heard;
  std::vector<Names::Interest> dead;
  for (int i = 0; i < 10'000; ++i) {
    dead.push_back(
        world.names.Follow("dead" + std::to_string(i), NameKind::kEndpoint, heard.Hear()));
  }
  world.Pass(milliseconds(60'000));
  CHECK(world.open.size() == Names::kMaxAll);
}

TEST_CASE(
    "names: an endpoint's name that waits for room is asked at once when it is our own, too") {
  World world;
  Heard heard;
  std::vector<Names::Interest> dead;
  for (int i = 0; i < 600; ++i) {
    dead.push_back(
        world.names.Follow("dead" + std::to_string(i), NameKind::kEndpoint, heard.Hear()));
  }
  const auto endpoint = world.names.Follow("agent.test", NameKind::kEndpoint, heard.Hear());
  CHECK(world.Asked("agent.test") == 0);
  const auto own = world.names.Ask("agent.test", NameKind::kOwn, heard.Hear());
  CHECK(world.Asked("agent.test") == 1);
  CHECK(world.open.back().kind == NameKind::kOwn);
}

TEST_CASE(
    "names: an endpoint's name that nobody follows is forgotten, at the latest when its look-up "
    "ends") {
  World world;
  Heard heard;
  {
    const auto name = world.names.Follow("a.test", NameKind::kEndpoint, heard.Hear());
    world.Answer("a.test", Good("10.0.0.1"));
    const auto other = world.names.Follow("b.test", NameKind::kEndpoint, heard.Hear());
    CHECK(world.names.size() == 2);
  }
  CHECK(world.names.size() == 1);
  world.Answer("b.test", Bad());
  CHECK(world.names.size() == 0);
  world.Pass(milliseconds(100'000));
  CHECK(world.asked.size() == 2);
}

TEST_CASE(
    "names: a name of our own is remembered for ten minutes, without a look-up that nobody wants") {
  World world;
  Heard heard;
  const auto name = world.names.Ask("agent.test", NameKind::kOwn, heard.Hear());
  world.Answer("agent.test", Good("10.0.0.1"));
  world.Pass(milliseconds(599'000));
  CHECK(world.names.size() == 1);
  CHECK(world.asked.size() == 1);
  world.Pass(milliseconds(2'000));
  CHECK(world.names.size() == 0);
}

TEST_CASE("names: an asker may end itself and others inside its call, and outlive the names") {
  World world;
  Names::Interest one, two;
  int calls = 0;
  const auto end_all = [&](const Names::Found&) {
    ++calls;
    one.End();
    two.End();
  };
  one = world.names.Follow("a.test", NameKind::kEndpoint, end_all);
  two = world.names.Follow("a.test", NameKind::kEndpoint, end_all);
  world.Answer("a.test", Good("10.0.0.1"));
  CHECK(calls == 1);
  CHECK(world.names.size() == 0);
  Names::Interest left;
  {
    World brief;
    left = brief.names.Follow("b.test", NameKind::kEndpoint, end_all);
  }
  CHECK(left.Known() == nullptr);
}

namespace {
// List is an EndpointNames and what it said.
struct List {
  World world;
  int updates = 0;
  int changes = 0;
  std::vector<std::string> failures;
  control::EndpointNames names{world.names, NameKind::kEndpoint,
                               [this](const std::function<void()>& task) {
                                 ++updates;
                                 task();
                               },
                               [this] { ++changes; },
                               [this](const std::string& error) { failures.push_back(error); }};

  void Set(const std::vector<std::string>& texts) {
    std::vector<Address> addresses;
    for (const std::string& text : texts) addresses.push_back(*ParseAddress(text));
    names.Set(addresses);
  }
  std::vector<std::string> Endpoints() const {
    std::vector<std::string> texts;
    for (const data::Endpoint& each : names.endpoints()) texts.push_back(each.address.Text());
    return texts;
  }
};
using Texts = std::vector<std::string>;
}  // namespace

TEST_CASE("endpoint names: a list is used as far as it is resolved, in its order") {
  List list;
  list.Set({"slow.test:1", "10.0.0.2:2", "quick.test:3"});
  CHECK(list.Endpoints() == Texts{"10.0.0.2:2"});
  CHECK(list.names.known());
  list.world.Answer("quick.test", Good("10.0.0.3"));
  CHECK(list.Endpoints() == Texts{"10.0.0.2:2", "10.0.0.3:3"});
  list.world.Answer("slow.test", Good("10.0.0.1"));
  CHECK(list.Endpoints() == Texts{"10.0.0.1:1", "10.0.0.2:2", "10.0.0.3:3"});
}

TEST_CASE(
    "endpoint names: a name that fails keeps what it had, and takes nothing from the others") {
  List list;
  list.Set({"a.test:1", "b.test:2"});
  list.world.Answer("a.test", Good("10.0.0.1"));
  list.world.Answer("b.test", Good("10.0.0.2"));
  list.world.Pass(milliseconds(30'000));
  list.world.Answer("a.test", Bad());
  list.world.Answer("b.test", Good("10.0.0.3"));
  CHECK(list.Endpoints() == Texts{"10.0.0.1:1", "10.0.0.3:2"});
  CHECK(list.names.Errors() == Texts{"no DNS server answers"});
  list.world.Pass(milliseconds(2'000));
  list.world.Answer("a.test", Good("10.0.0.4"));
  CHECK(list.Endpoints() == Texts{"10.0.0.4:1", "10.0.0.3:2"});
  CHECK(list.names.Errors().empty());
}

TEST_CASE(
    "endpoint names: a name that leaves the list is forgotten, one that stays is not asked anew") {
  List list;
  list.Set({"a.test:1", "b.test:2"});
  list.world.Answer("a.test", Good("10.0.0.1"));
  list.world.Answer("b.test", Good("10.0.0.2"));
  list.Set({"b.test:2"});
  CHECK(list.Endpoints() == Texts{"10.0.0.2:2"});
  CHECK(list.world.names.size() == 1);
  CHECK(list.world.Asked("b.test") == 1);
  list.Set({"a.test:1"});
  CHECK(list.world.Asked("a.test") == 2);
}

TEST_CASE(
    "endpoint names: while nothing of a new list is resolved the list before is used, and not "
    "after it has failed") {
  List list;
  list.Set({"10.0.0.1:1"});
  list.Set({"a.test:1", "b.test:1"});
  CHECK(list.Endpoints() == Texts{"10.0.0.1:1"});
  list.world.Answer("a.test", Bad());
  CHECK(list.Endpoints() == Texts{"10.0.0.1:1"});
  list.world.Answer("b.test", Bad());
  CHECK(list.Endpoints().empty());
  CHECK(list.names.known());
  list.Set({});
  CHECK(list.names.known());
}

TEST_CASE(
    "endpoint names: a first list of nothing but names is not known until one is resolved or all "
    "have failed") {
  List list;
  list.Set({"a.test:1", "b.test:1"});
  CHECK(!list.names.known());
  list.world.Answer("b.test", Bad());
  CHECK(!list.names.known());
  list.world.Answer("a.test", Good("10.0.0.1"));
  CHECK(list.names.known());
  CHECK(list.changes == 1);
}

TEST_CASE(
    "endpoint names: every record of a name is an endpoint, and an answer of the same changes "
    "nothing") {
  List list;
  list.Set({"a.test:1"});
  const Names::Found both = std::vector<SocketAddress>{Ip("::1"), Ip("127.0.0.1")};
  list.world.Answer("a.test", both);
  CHECK(list.Endpoints() == Texts{"[::1]:1", "127.0.0.1:1"});
  list.world.Pass(milliseconds(30'000));
  list.world.Answer("a.test", both);
  CHECK(list.changes == 1);
}

TEST_CASE(
    "endpoint names: each endpoint has what is known of its place, and a change of that is one of "
    "the list") {
  const auto place = [](const std::string& text, int weight, const std::string& id) {
    data::Endpoint endpoint;
    endpoint.weight = weight;
    endpoint.instance =
        std::make_shared<const data::Instance>(data::Instance{id, "n", "dc1", {"eu", "z1"}});
    return control::EndpointNames::Wanted{*ParseAddress(text), endpoint};
  };
  List list;
  list.names.Set({place("a.test:1", 7, "a"), place("10.0.0.9:2", 3, "b")});
  list.world.Answer("a.test", std::vector<SocketAddress>{Ip("::1"), Ip("127.0.0.1")});
  REQUIRE(list.Endpoints() == Texts{"[::1]:1", "127.0.0.1:1", "10.0.0.9:2"});
  for (const std::size_t i : {0U, 1U}) {
    CHECK(list.names.endpoints()[i].weight == 7);
    CHECK(list.names.endpoints()[i].instance->id == "a");
  }
  CHECK(list.names.endpoints()[2].weight == 3);
  CHECK(list.names.endpoints()[2].instance->locality == authz::Locality{"eu", "z1"});

  const int changes = list.changes;
  list.names.Set({place("a.test:1", 7, "a"), place("10.0.0.9:2", 3, "b")});
  CHECK(list.changes == changes);
  list.names.Set({place("a.test:1", 7, "a"), place("10.0.0.9:2", 4, "b")});
  CHECK(list.changes == changes + 1);
  list.names.Set({place("a.test:1", 7, "c"), place("10.0.0.9:2", 4, "b")});
  CHECK(list.changes == changes + 2);
  CHECK(list.names.endpoints()[0].instance->id == "c");
}

TEST_CASE("endpoint names: a failure is said once, and of many names the first eight") {
  List list;
  Texts many;
  for (int i = 0; i < 50; ++i) many.push_back("dead" + std::to_string(i) + ":1");
  list.Set(many);
  for (int i = 0; i < 50; ++i)
    list.world.Answer("dead" + std::to_string(i), Bad("dead" + std::to_string(i)));
  REQUIRE(list.failures.size() == 9);
  CHECK(list.failures.front() == "dead0");
  CHECK(list.failures.back().find("further names") != std::string::npos);
  CHECK(list.names.Errors().size() == 50);
}

TEST_CASE(
    "endpoint names: of thousands of names that fail at once, none has the whole list made anew") {
  List list;
  Texts many{"10.0.0.1:1"};
  for (int i = 0; i < 5'000; ++i) many.push_back("dead" + std::to_string(i) + ":1");
  list.Set(many);
  list.world.Pass(milliseconds(20'000));
  CHECK(list.world.open.size() == 5'000);
  while (!list.world.open.empty()) list.world.Answer(list.world.open.back().host, Bad());
  CHECK(list.updates == 1);  // at the last one: the list might have been empty until then
  CHECK(list.Endpoints() == Texts{"10.0.0.1:1"});
}

TEST_CASE("name sources: nsswitch.conf is read for sources besides files and dns") {
  CHECK(!NameSources::HasOthers(""));
  CHECK(!NameSources::HasOthers("hosts: files dns\n"));
  CHECK(!NameSources::HasOthers(
      "passwd: files ldap\nhosts:\tfiles [NOTFOUND=return success=continue] dns # mymachines\n"));
  CHECK(!NameSources::HasOthers("hosts: files [ NOTFOUND=return ] dns"));
  CHECK(NameSources::HasOthers("hosts:  files mdns4_minimal [NOTFOUND=return] dns\n"));
  CHECK(NameSources::HasOthers(
      "# x\nhosts: mymachines resolve [!UNAVAIL=return] files myhostname dns\n"));
}

}  // namespace mooring::net
