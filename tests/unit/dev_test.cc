// The parts of `mooring dev` that need no socket: request bodies, services and checks, intentions.
#include "proxy/dev/state.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

#include "proxy/dev/body.h"
#include "proxy/dev/chain.h"
#include "proxy/dev/config_entries.h"
#include "proxy/dev/config_form.h"
#include "proxy/dev/identifier.h"
#include "proxy/dev/intentions.h"
#include "proxy/dev/registration.h"

namespace {

using namespace mooring;

dev::StoredIntention Rule(const std::string& source, const std::string& destination, bool allow) {
  dev::StoredIntention intention;
  intention.rule.source_name = source;
  intention.rule.destination_name = destination;
  intention.rule.action = allow ? authz::Action::kAllow : authz::Action::kDeny;
  intention.action = allow ? "allow" : "deny";
  return intention;
}

dev::Service App(const std::string& id, const std::string& name) {
  dev::Service service;
  service.id = id;
  service.name = name;
  return service;
}

dev::Check TypedCheck(const std::string& id, const std::string& type) {
  dev::Check check;
  check.id = id;
  check.name = id;
  check.type = type;
  return check;
}

}  // namespace

TEST_CASE("dev: field names match in any case and with underscores, null is absent") {
  const auto body = dev::ParseBody(
      R"({"destination_service_name":"a","PORT":7,"Tags":null,"ttl":"90s","Interval":5000000000})");
  REQUIRE(body);
  std::string fault;
  const dev::Fields fields(&*body, "", &fault);
  CHECK(fields.Text("DestinationServiceName") == "a");
  CHECK(fields.Port("Port") == 7);
  CHECK_FALSE(fields.Has("Tags"));
  CHECK(fields.Texts("Tags").empty());
  CHECK(fields.Duration("TTL") == std::chrono::seconds(90));
  CHECK(fields.Duration("Interval") == std::chrono::seconds(5));
  CHECK(fault.empty());
  (void)fields.Flag("Port");
  CHECK(fault.find("Port") != std::string::npos);
}

TEST_CASE("dev: bodies that are no JSON object, or nested too deep, are refused") {
  for (const std::string& bad : {std::string(), std::string("{"), std::string("[]"),
                                 std::string("7"), "{\"a\":" + std::string(100'000, '[')}) {
    CHECK_FALSE(dev::ParseBody(bad));
  }
  CHECK(dev::ParseBody(R"({"a":"]]]]}}\"}"})"));
}

TEST_CASE("dev: a registration with a sidecar is spelled out as Consul does") {
  const auto parsed =
      dev::ParseRegistration(R"({"ID":"web-1","Name":"web","Port":18080,"Tags":["a"],
      "Connect":{"SidecarService":{"Proxy":{"Upstreams":[{"DestinationName":"db","LocalBindPort":29191}]}}}})");
  REQUIRE(parsed);
  CHECK(parsed->service.id == "web-1");
  REQUIRE(parsed->has_sidecar);
  const dev::Service& sidecar = parsed->sidecar;
  CHECK(sidecar.id == "web-1-sidecar-proxy");
  CHECK(sidecar.name == "web-sidecar-proxy");
  CHECK(sidecar.kind == "connect-proxy");
  CHECK(sidecar.tags == std::vector<std::string>{"a"});
  CHECK(sidecar.proxy["DestinationServiceID"] == "web-1");
  CHECK(sidecar.proxy["LocalServicePort"] == 18080);
  CHECK(sidecar.proxy["Upstreams"][0]["DestinationType"] == "service");
  const auto checks = dev::SidecarChecks(sidecar);
  REQUIRE(checks.size() == 2);
  CHECK(checks[0].id == "service:web-1-sidecar-proxy:1");
  CHECK(checks[1].alias == "web-1");
}

TEST_CASE("dev: registrations that Consul refuses are refused in its words") {
  const auto refusal = [](const std::string& body) {
    const auto parsed = dev::ParseRegistration(body);
    return parsed ? std::string() : parsed.error().message;
  };
  CHECK(refusal("{}") == "Missing service name");
  CHECK(refusal("{").starts_with("Request decode failed: "));
  CHECK(refusal(R"({"Name":"p","Port":"x"})").starts_with("Request decode failed: "));
  CHECK(refusal(R"({"Name":"p","Port":65536})").starts_with("Request decode failed: "));
  CHECK(refusal(R"({"Name":"p","Kind":"connect-proxy","Port":1})") ==
        "Failed Validation: 1 error occurred:\n\t* Proxy.DestinationServiceName must be non-empty "
        "for "
        "Connect proxy services\n\n");
  CHECK(refusal(R"({"Name":"p","Kind":"connect-proxy"})")
            .starts_with("Failed Validation: 2 errors occurred:\n"));
  const std::string twins =
      R"({"Name":"p","Port":1,"Connect":{"SidecarService":{"Proxy":{"Upstreams":[
      {"DestinationName":"db","LocalBindPort":1},{"DestinationName":"db","LocalBindPort":2}]}}}})";
  CHECK(refusal(twins) ==
        "Failed Validation: 1 error occurred:\n\t* upstreams cannot contain duplicates of "
        "[type=\"service\", name=\"db\", partition=\"\", namespace=\"\", peer=\"\", "
        "datacenter=\"\"]\n\n");
  CHECK(dev::ParseRegistration(twins, dev::Like::kOld));
  CHECK(refusal(R"({"Name":"p","Check":{"TTL":"abc"}})").starts_with("Request decode failed: "));
  CHECK(refusal(R"({"Name":"p","Check":{"TCP":"127.0.0.1:1"}})") ==
        "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks");
  CHECK(refusal(R"({"Name":"p","Check":{"TTL":"10s","Status":"zz"}})") ==
        "Status for checks must 'passing', 'warning', 'critical'");
  CHECK(refusal(R"({"Name":"p","Connect":{"SidecarService":{"ID":"x"}}})")
            .find("cannot specify an ID") != std::string::npos);
  CHECK(refusal(R"({"Name":"p","Weights":{"Passing":0}})") ==
        "Invalid Weights: Passing must be greater than 0");
  CHECK(refusal(R"({"Name":"p","Check":{},"Connect":null,"Checks":[null]})").empty());
}

TEST_CASE("dev: aliases follow the checks they stand for, circles too") {
  dev::Index index;
  dev::State state(index, [] {});
  dev::Check alias = TypedCheck("alias", "alias");
  alias.alias = "app";
  state.Register(App("proxy", "proxy"), {alias}, false);
  CHECK(state.checks().at("alias").status == dev::kCritical);  // nobody there yet
  state.Register(App("app", "app"), {TypedCheck("ttl", "ttl")}, false);
  CHECK(state.checks().at("alias").status == dev::kCritical);
  CHECK(state.Heartbeat("ttl", dev::kWarning, "hm"));
  CHECK(state.checks().at("alias").status == dev::kWarning);
  CHECK(state.Heartbeat("ttl", dev::kPassing, ""));
  CHECK(state.checks().at("alias").output == "All checks passing.");
  CHECK(state.SetMaintenance("app", true, ""));
  CHECK(state.checks().at("alias").status == dev::kCritical);
  CHECK(state.SetMaintenance("app", false, ""));
  CHECK(state.checks().at("alias").status == dev::kPassing);
  CHECK_FALSE(state.Heartbeat("alias", dev::kPassing, ""));

  dev::Check back = TypedCheck("back", "alias");
  back.alias = "proxy";
  state.Register(App("app", "app"), {back}, false);
  CHECK(state.checks().size() == 3);
}

TEST_CASE("dev: the index of a service moves with its own instances only") {
  dev::Index index;
  int changes = 0;
  dev::State state(index, [&] { ++changes; });
  state.Register(App("a", "a"), {TypedCheck("a-ttl", "ttl")}, false);
  dev::Service proxy = App("p", "a-proxy");
  proxy.kind = "connect-proxy";
  proxy.destination = "a";
  state.Register(proxy, {}, false);
  const std::uint64_t a = state.HealthIndex("a");
  const std::uint64_t other = state.HealthIndex("b");
  state.Register(App("b", "b"), {}, false);
  CHECK(state.HealthIndex("a") == a);
  CHECK(state.HealthIndex("b") > other);
  CHECK(state.Heartbeat("a-ttl", dev::kPassing, ""));
  CHECK(state.HealthIndex("a") > a);

  const std::uint64_t before = index.value;
  changes = 0;
  state.Register(App("b", "b"), {}, false);  // nothing new
  CHECK(index.value == before);
  CHECK(changes == 0);
}

TEST_CASE(
    "dev: a repeated registration keeps the status, replaced checks go, the sidecar goes along") {
  dev::Index index;
  dev::State state(index, [] {});
  state.Register(App("a", "a"), {TypedCheck("one", "ttl"), TypedCheck("two", "ttl")}, false);
  CHECK(state.Heartbeat("one", dev::kPassing, "fine"));
  state.Register(App("a", "a"), {TypedCheck("one", "ttl")}, true);
  CHECK(state.checks().at("one").status == dev::kPassing);
  CHECK_FALSE(state.checks().contains("two"));
  dev::Service sidecar = App("a-sidecar-proxy", "a-sidecar-proxy");
  sidecar.sidecar_of = "a";
  sidecar.port = 21000;
  state.Register(sidecar, {}, false);
  CHECK(state.FreePort() == 21001);
  CHECK(state.Deregister("a"));
  CHECK(state.services().empty());
  CHECK(state.checks().empty());
  CHECK_FALSE(state.Deregister("a"));
}

TEST_CASE("dev: intentions keep Consul's order and decide by the first that covers") {
  dev::Index index;
  dev::Intentions store(dev::Like::kCurrent, index, [] {});
  REQUIRE(store.Create(Rule("*", "*", true), "t"));
  REQUIRE(store.Create(Rule("web", "*", true), "t"));
  REQUIRE(store.Create(Rule("*", "db", true), "t"));
  const auto id = store.Create(Rule("web", "db", false), "t");
  REQUIRE(id);
  std::vector<int> order;
  for (const auto* entry : store.Match(dev::Intentions::By::kDestination, "default", "db")) {
    order.push_back(entry->rule.precedence);
  }
  CHECK(order == std::vector<int>{9, 8, 6, 5});
  CHECK(store.Match(dev::Intentions::By::kSource, "default", "web").size() == 4);
  CHECK(store.Match(dev::Intentions::By::kDestination, "default", "x").size() == 2);
  CHECK(store.Decide("default", "web", "default", "db")->rule.action == authz::Action::kDeny);
  CHECK(store.Decide("default", "api", "default", "db")->rule.precedence == 8);
  CHECK(store.Delete(*id));
  CHECK(store.Decide("default", "web", "default", "db")->rule.precedence == 8);
}

TEST_CASE("dev: like 1.8, an intention for the same pair, or with half a wildcard, is refused") {
  dev::Index index;
  dev::Intentions store(dev::Like::kOld, index, [] {});
  const auto id = store.Create(Rule("web", "db", true), "t1");
  REQUIRE(id);
  const auto twin = store.Create(Rule("web", "db", false), "t1");
  REQUIRE_FALSE(twin);
  CHECK(twin.error().message == "duplicate intention found: ALLOW default/web => default/db (ID: " +
                                    *id + ", Precedence: 9)");
  CHECK_FALSE(store.Create(Rule("we*", "db", true), "t"));
  CHECK_FALSE(store.Create(Rule("", "db", true), "t"));
  dev::StoredIntention odd = Rule("web", "db", true);
  odd.rule.source_ns = "*";
  CHECK_FALSE(store.Create(odd, "t"));
  CHECK(store.Update(*id, Rule("api", "db", false), "t2"));
  CHECK(store.Find(*id)->created_at == "t1");
  CHECK(store.Find(*id)->updated_at == "t2");
  CHECK_FALSE(store.Update("11111111-1111-1111-1111-111111111111", Rule("api", "db", false), "t"));
  CHECK(store.Update(*id, Rule("api", "other", false), "t3"));
  CHECK(store.FindExact("default", "api", "default", "db") == nullptr);
  CHECK(store.FindExact("default", "api", "default", "other")->rule.id == *id);
  CHECK_FALSE(dev::ParseIntention(R"({"SourceName":"a","DestinationName":"b","Action":"maybe"})",
                                  dev::Like::kOld));
  CHECK_FALSE(dev::ParseIntention(
      R"({"SourceName":"a","DestinationName":"b","Permissions":[{"Action":"allow"}]})",
      dev::Like::kOld));
}

TEST_CASE(
    "dev: the intentions of a destination are one entry, and one write of it decides the IDs") {
  dev::Index index;
  dev::Intentions store(dev::Like::kCurrent, index, [] {});
  const auto id = store.Create(Rule("web", "db", true), "t1");
  REQUIRE(id);
  const auto twin = store.Create(Rule("web", "db", false), "t1");
  REQUIRE_FALSE(twin);
  CHECK(twin.error().message == "Sources[1] defines \"web\" more than once");
  CHECK(store.Create(Rule("we*", "db", true), "t").error().message ==
        "Sources[1].Name: wildcard character '*' cannot be used with partial values");
  CHECK_FALSE(store.Create(Rule("web", "d*", true), "t"));
  CHECK_FALSE(store.Update(*id, Rule("web", "other", true), "t2"));
  REQUIRE(store.Create(Rule("api", "db", true), "t2"));
  const auto list = store.Match(dev::Intentions::By::kDestination, "default", "db");
  REQUIRE(list.size() == 2);
  CHECK(list[0]->modify_index == list[1]->modify_index);
  REQUIRE(store.Write(Rule("web", "db", false), "t3"));
  CHECK(store.Find(*id) == nullptr);
  CHECK(store.FindExact("default", "api", "default", "db")->rule.id.empty());
  CHECK(store.Create(Rule("x", "db", true), "t4").error().message ==
        "cannot use legacy intention API to edit intentions with a destination of \"db\" after "
        "editing them via a service-intentions config entry");
  REQUIRE(store.Erase("default", "web", "default", "db"));
  REQUIRE(store.Erase("default", "api", "default", "db"));
  CHECK(store.All().empty());
  CHECK(store.EntryDocument("db").is_null());
}

TEST_CASE("dev: a peer's intention covers none of ours, and layer 7 denies whom it covers") {
  dev::Index index;
  dev::Intentions store(dev::Like::kCurrent, index, [] {});
  REQUIRE(store.WriteEntry(dev::Json::parse(R"({"Kind":"service-intentions","Name":"db","Sources":[
      {"Name":"web","Action":"deny","Peer":"beta"},
      {"Name":"l7","Permissions":[{"Action":"allow","HTTP":{"PathPrefix":"/"}}]},
      {"Name":"web","Action":"allow"},{"Name":"*","Action":"deny"}]})")));
  CHECK(store.Decide("default", "web", "default", "db")->Allows());
  CHECK_FALSE(store.Decide("default", "l7", "default", "db")->Allows());
  CHECK(store.Decide("default", "l7", "default", "db")->Text(dev::Like::kCurrent) ==
        "default/l7 => default/db (Precedence: 9, Permissions: 1)");
  CHECK(store.Decide("default", "api", "default", "db")->rule.precedence == 8);
  std::string order;
  for (const auto* entry : store.Match(dev::Intentions::By::kDestination, "default", "db"))
    order += entry->rule.source_name + entry->rule.source_peer + ' ';
  CHECK(order == "l7 web webbeta * ");
}

TEST_CASE("dev: a config entry is kept in Consul's spelling, and what it does not know is named") {
  const auto form = [](const std::string& text) {
    return dev::ConfigForm(dev::Json::parse(text), dev::Like::kCurrent);
  };
  const auto entry = form(R"({"kind":"service-resolver","name":"db","connect_timeout":"90s",
      "subsets":{"v1":{"filter":"x","only_passing":false}},"failover":{"*":{"datacenters":["dc2"]}}})");
  REQUIRE(entry);
  CHECK(*entry ==
        dev::Json::parse(R"({"Kind":"service-resolver","Name":"db","ConnectTimeout":"1m30s",
      "Subsets":{"v1":{"Filter":"x"}},"Failover":{"*":{"Datacenters":["dc2"]}}})"));
  CHECK(form(R"({"Kind":"service-defaults","Name":"a","MaxConections":1})").error().message ==
        "invalid config key \"MaxConections\"");
  CHECK(
      form(R"({"Kind":"service-defaults","Name":"a","MeshGateway":{"Mod":""}})").error().message ==
      "invalid config key \"MeshGateway.Mod\"");
  CHECK(form(R"({"Kind":"nope","Name":"a"})").error().message == "invalid config entry kind: nope");
  CHECK_FALSE(form(R"({"Kind":"service-router","Name":"a"})"));
  CHECK_FALSE(form(R"({"Kind":"proxy-defaults","Name":"a"})"));
  CHECK_FALSE(form(R"({"Kind":"service-defaults"})"));
  CHECK_FALSE(form(R"({"Kind":"service-defaults","Name":"a","MeshGateway":{"Mode":"far"}})"));
  CHECK_FALSE(form(R"({"Kind":"mesh","TLS":{"Incoming":{"TLSMinVersion":"TLSv9"}}})"));
  CHECK_FALSE(dev::ConfigForm(dev::Json::parse(R"({"Kind":"mesh"})"), dev::Like::kOld));
}

TEST_CASE("dev: a chain follows redirects, and circles and unknown subsets are refused") {
  dev::Index index;
  dev::ConfigEntries entries(index, [] {});
  const auto put = [&](const std::string& text) { entries.Put(dev::Json::parse(text)); };
  const auto compile = [&](const std::string& name) {
    return dev::CompileChain(name, "dc1", "x.consul", entries);
  };
  const auto plain = compile("db");
  REQUIRE(plain);
  CHECK((*plain)["Default"] == true);
  CHECK((*plain)["Protocol"] == "tcp");
  put(R"({"Kind":"service-defaults","Name":"db","Protocol":"http"})");
  put(R"({"Kind":"service-resolver","Name":"old","Redirect":{"Service":"db","Datacenter":"dc2"}})");
  const auto redirected = compile("old");
  REQUIRE(redirected);
  CHECK((*redirected)["StartNode"] == "resolver:db.default.default.dc2");
  CHECK_FALSE(redirected->contains("Default"));
  CHECK((*redirected)["Targets"]["db.default.default.dc2"]["SNI"] ==
        "db.default.dc2.internal.x.consul");
  put(R"({"Kind":"service-resolver","Name":"db","Redirect":{"Service":"old"}})");
  CHECK(compile("db").error().message.starts_with("detected circular resolver redirect: ["));
  put(R"({"Kind":"service-resolver","Name":"db","DefaultSubset":"v9"})");
  CHECK(compile("db").error().message == "service \"db\" does not have a subset named \"v9\"");
}

TEST_CASE("dev: identifiers and times have Consul's spelling") {
  CHECK(dev::IsUuid(dev::NewUuid()));
  CHECK(dev::NewUuid() != dev::NewUuid());
  CHECK_FALSE(dev::IsUuid("nope"));
  using std::chrono::milliseconds;
  CHECK(dev::GoDuration(milliseconds(0)) == "0s");
  CHECK(dev::GoDuration(milliseconds(250)) == "250ms");
  CHECK(dev::GoDuration(milliseconds(1'050)) == "1.05s");
  CHECK(dev::GoDuration(milliseconds(90'000)) == "1m30s");
  CHECK(dev::GoDuration(milliseconds(3'600'000)) == "1h0m0s");
  CHECK(dev::ContentHash("a") != dev::ContentHash("b"));
  CHECK(dev::ContentHash("").size() == 16);
}
