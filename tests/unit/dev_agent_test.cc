// The stand-in agent of `mooring dev` through its HTTP API, over a loopback socket.
#include "proxy/dev/agent.h"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "authz/consul/api.h"
#include "proxy/dev/body.h"
#include "proxy/dev/dev.h"
#include "proxy/http/client.h"
#include "proxy/http/server.h"
#include "tests/unit/http_fixture.h"
#include "tls/identity.h"

namespace {

using namespace mooring;
using dev::Json;
using net::milliseconds;
using test::Fetch;
using test::Get;
using test::RunUntil;

// Running is an agent with its server and one client.
struct Running {
  explicit Running(dev::AgentOptions options = {}) : log(log::Level::kError, false) {
    auto made = dev::Agent::Make(loop, std::move(options), log);
    REQUIRE(made);
    agent = *std::move(made);
    auto listening = net::Listen(test::Loopback());
    REQUIRE(listening);
    endpoint.address = test::Loopback(net::SocketAddress::LocalOf(listening->get()).port());
    server.emplace(loop, *std::move(listening), http::ServerLimits{},
                   [this](const http::ServerRequest& request, http::Server::Reply reply) {
                     agent->Handle(request, std::move(reply));
                   });
    client.emplace(loop, endpoint);
  }

  http::Response Ask(const std::string& method, const std::string& target,
                     const std::string& body = {}) {
    http::Request request = Get(target);
    request.method = method;
    request.body = body;
    auto answer = Fetch(loop, *client, request);
    REQUIRE(answer);
    return *answer;
  }
  Json Document(const std::string& target) {
    const http::Response answer = Ask("GET", target);
    CAPTURE(answer.body);
    REQUIRE(answer.status == 200);
    return Json::parse(answer.body);
  }
  void Put(const std::string& target, const std::string& body = {}) {
    const http::Response answer = Ask("PUT", target, body);
    CAPTURE(answer.body);
    REQUIRE(answer.status == 200);
  }
  // AwaitHealth waits until the service has a passing instance, or has none.
  void AwaitHealth(const std::string& service, bool healthy) {
    std::string index = "0";
    for (;;) {
      const http::Response answer =
          Ask("GET", "/v1/health/service/" + service + "?passing&wait=4s&index=" + index);
      if (Json::parse(answer.body).empty() != healthy) return;
      const std::string* next = answer.Header("x-consul-index");
      REQUIRE(next != nullptr);
      REQUIRE(*next != index);  // the wait ended without a change
      index = *next;
    }
  }
  std::string CreateIntention(const std::string& source, const std::string& destination,
                              const std::string& action) {
    const http::Response answer = Ask(
        "POST", "/v1/connect/intentions",
        Json{{"SourceName", source}, {"DestinationName", destination}, {"Action", action}}.dump());
    REQUIRE(answer.status == 200);
    return Json::parse(answer.body)["ID"];
  }

  net::Loop loop;
  log::Log log;
  std::unique_ptr<dev::Agent> agent;
  http::Endpoint endpoint;
  std::optional<http::Server> server;
  std::optional<http::Client> client;
};

// Waiting is a blocking query on a connection of its own.
struct Waiting {
  Waiting(Running& running, const std::string& target) : client(running.loop, running.endpoint) {
    client.Send(Get(target, milliseconds{15'000}), [this](Result<http::Response> got) {
      REQUIRE(got);
      answer = *std::move(got);
    });
  }
  std::optional<http::Response> answer;
  http::Client client;
};

std::string IndexOf(const http::Response& response) {
  const std::string* index = response.Header("x-consul-index");
  REQUIRE(index != nullptr);
  return *index;
}

}  // namespace

TEST_CASE("dev: a registered service with a sidecar is served as a proxy document") {
  Running running;
  running.Put("/v1/agent/service/register",
              R"({"ID":"web-1","Name":"web","Port":18080,"Connect":{"SidecarService":{}}})");
  const http::Response answer = running.Ask("GET", "/v1/agent/service/web-1-sidecar-proxy");
  const auto proxy = authz::ParseProxy(answer.body);
  REQUIRE(proxy);
  CHECK(proxy->port == 21000);
  CHECK(proxy->destination_service == "web");
  CHECK(proxy->local_service_port == 18080);
  REQUIRE(answer.Header("x-consul-contenthash"));
  CHECK(answer.body.find('"' + *answer.Header("x-consul-contenthash") + '"') != std::string::npos);
  CHECK(*answer.Header("x-consul-default-acl-policy") == "allow");
  const auto sidecars =
      authz::ParseSidecars(running.Ask("GET", "/v1/agent/services").body, "web-1");
  REQUIRE(sidecars);
  CHECK(sidecars->proxy_ids == std::vector<std::string>{"web-1-sidecar-proxy"});
  // The port stays when the service is registered again.
  running.Put("/v1/agent/service/register",
              R"({"ID":"web-1","Name":"web","Port":1,"Connect":{"SidecarService":{}}})");
  CHECK(running.Document("/v1/agent/service/web-1-sidecar-proxy")["Port"] == 21000);
}

TEST_CASE("dev: a wait by content hash ends with the next change of that service") {
  Running running;
  running.Put("/v1/agent/service/register", R"({"ID":"p","Name":"p","Port":1})");
  const std::string hash = running.Document("/v1/agent/service/p")["ContentHash"];
  CHECK(running.Ask("GET", "/v1/agent/service/p?hash=other&wait=10s").status == 200);
  Waiting waiting(running, "/v1/agent/service/p?wait=10s&hash=" + hash);
  running.Put("/v1/agent/service/register", R"({"ID":"q","Name":"q","Port":1})");
  CHECK_FALSE(waiting.answer);
  running.Put("/v1/agent/service/register", R"({"ID":"p","Name":"p","Port":2})");
  RunUntil(running.loop, [&] { return waiting.answer.has_value(); });
  CHECK(Json::parse(waiting.answer->body)["Port"] == 2);
  Waiting gone(running, "/v1/agent/service/p?wait=10s&hash=" +
                            std::string(Json::parse(waiting.answer->body)["ContentHash"]));
  running.Put("/v1/agent/service/deregister/p");
  RunUntil(running.loop, [&] { return gone.answer.has_value(); });
  CHECK(gone.answer->status == 404);
  CHECK(gone.answer->body == "unknown service ID: p");
}

TEST_CASE("dev: maintenance takes an instance out of passing and wakes who waits") {
  Running running;
  running.Put(
      "/v1/agent/service/register",
      R"({"Name":"px","Kind":"connect-proxy","Port":9,"Proxy":{"DestinationServiceName":"db"}})");
  const http::Response first = running.Ask("GET", "/v1/health/connect/db?passing=true");
  auto instances = authz::ParseInstances(first.body);
  REQUIRE(instances);
  REQUIRE(instances->size() == 1);
  CHECK((*instances)[0].claimed_service == "db");
  CHECK((*instances)[0].datacenter == "dc1");
  Waiting waiting(running, "/v1/health/connect/db?passing=true&wait=10s&index=" + IndexOf(first));
  running.Put("/v1/agent/service/maintenance/px?enable=true&reason=drain");
  RunUntil(running.loop, [&] { return waiting.answer.has_value(); });
  CHECK(Json::parse(waiting.answer->body).empty());
  CHECK(running.Document("/v1/health/connect/db")[0]["Checks"][1]["Notes"] == "drain");
  running.Put("/v1/agent/service/maintenance/px?enable=false");
  CHECK(running.Document("/v1/health/connect/db?passing").size() == 1);
  CHECK(running.Ask("PUT", "/v1/agent/service/maintenance/nope?enable=true").status == 404);
  CHECK(running.Ask("PUT", "/v1/agent/service/maintenance/px").body == "Missing value for enable");
}

TEST_CASE("dev: a wait for an index of the future ends with its time and tells the right one") {
  Running running;
  const http::Response answer = running.Ask("GET", "/v1/health/connect/db?index=999999&wait=30ms");
  CHECK(answer.status == 200);
  CHECK(std::stoull(IndexOf(answer)) < 999999);
}

TEST_CASE(
    "dev: a TTL check without a heartbeat turns critical, and takes its service away in time") {
  Running running;
  running.Put("/v1/agent/service/register", R"({"Name":"a","Check":{"CheckID":"beat","TTL":"150ms",
      "Status":"passing","DeregisterCriticalServiceAfter":"100ms"}})");
  CHECK(running.Document("/v1/health/service/a?passing").size() == 1);
  running.Put("/v1/agent/check/pass/beat?note=ok");
  const http::Response passing = running.Ask("GET", "/v1/health/service/a");
  Waiting critical(running, "/v1/health/service/a?wait=10s&index=" + IndexOf(passing));
  RunUntil(running.loop, [&] { return critical.answer.has_value(); });
  const Json check = Json::parse(critical.answer->body)[0]["Checks"][1];
  CHECK(check["Status"] == "critical");
  CHECK(check["Output"] == "TTL expired (last output before timeout follows): ok");
  Waiting gone(running, "/v1/health/service/a?wait=10s&index=" + IndexOf(*critical.answer));
  RunUntil(running.loop, [&] { return gone.answer.has_value(); });
  CHECK(Json::parse(gone.answer->body).empty());
  CHECK(running.Ask("PUT", "/v1/agent/check/pass/beat").status == 404);
}

TEST_CASE("dev: a TCP check finds a port that opens, and one that closes") {
  Running running;
  auto listening = net::Listen(test::Loopback());
  REQUIRE(listening);
  const std::uint16_t port = net::SocketAddress::LocalOf(listening->get()).port();
  running.Put("/v1/agent/service/register",
              Json{{"Name", "a"},
                   {"Check", {{"TCP", "localhost:" + std::to_string(port)}, {"Interval", "20ms"}}}}
                  .dump());
  running.AwaitHealth("a", true);
  listening->Reset();
  running.AwaitHealth("a", false);
  auto again = net::Listen(test::Loopback(port));
  REQUIRE(again);
  running.AwaitHealth("a", true);
}

TEST_CASE("dev: intentions are created, matched, waited for and deleted") {
  Running running;
  const http::Response none =
      running.Ask("GET", "/v1/connect/intentions/match?by=destination&name=db");
  CHECK(Json::parse(none.body) == Json{{"db", nullptr}});
  Waiting waiting(running, "/v1/connect/intentions/match?by=destination&name=db&wait=10s&index=" +
                               IndexOf(none));
  const std::string id = running.CreateIntention("web", "db", "deny");
  RunUntil(running.loop, [&] { return waiting.answer.has_value(); });
  const auto match = authz::ParseIntentionMatch(waiting.answer->body, "db");
  REQUIRE(match);
  REQUIRE(match->size() == 1);
  CHECK((*match)[0].id == id);
  CHECK((*match)[0].precedence == 9);
  CHECK(running.Document("/v1/connect/intentions/check?source=web&destination=db")["Allowed"] ==
        false);
  CHECK(running.Document("/v1/connect/intentions/check?source=api&destination=db")["Allowed"] ==
        true);
  const http::Response twin =
      running.Ask("POST", "/v1/connect/intentions",
                  R"({"SourceName":"web","DestinationName":"db","Action":"allow"})");
  CHECK(twin.status == 500);
  CHECK(twin.body == "Sources[1] defines \"web\" more than once");
  CHECK(running.Ask("DELETE", "/v1/connect/intentions/" + id).body == "true");
  CHECK(running.Ask("DELETE", "/v1/connect/intentions/" + id).status == 500);
  CHECK(running.Ask("GET", "/v1/connect/intentions/" + id).status == 404);
  CHECK(running.Ask("GET", "/v1/connect/intentions/nope").status == 400);
  CHECK(running.Document("/v1/connect/intentions").empty());
}

TEST_CASE("dev: intentions by exact names, as newer clients write them") {
  Running running;
  const std::string exact = "/v1/connect/intentions/exact?source=web&destination=db";
  CHECK(running.Ask("GET", exact).status == 404);
  CHECK(running.Ask("PUT", exact, R"({"Action":"deny"})").body == "true");
  CHECK(running.Ask("PUT", exact, R"({"Action":"allow"})").body == "true");
  CHECK_FALSE(running.Document(exact).contains("ID"));
  CHECK(running.Document(exact)["Action"] == "allow");
  CHECK(running.Ask("PUT", exact, R"({"SourceName":"api","Action":"allow"})").status == 400);
  CHECK(running.Ask("DELETE", exact).body == "true");
  CHECK(running.Ask("GET", exact).status == 404);
}

TEST_CASE("dev: authorize names the intention or the default") {
  Running running({.default_policy = authz::DefaultPolicy::kDeny});
  const auto ask = [&](const std::string& target, const std::string& source) {
    return running.Ask("POST", "/v1/agent/connect/authorize",
                       Json{{"Target", target},
                            {"ClientCertURI", "spiffe://" + running.agent->trust_domain() +
                                                  "/ns/default/dc/dc1/svc/" + source}}
                           .dump());
  };
  http::Response response = ask("db", "web");
  CHECK(*response.Header("x-consul-default-acl-policy") == "deny");
  auto answer = authz::ParseAuthorize(response.body);
  REQUIRE(answer);
  CHECK_FALSE(answer->authorized);
  CHECK(answer->reason == "Default behavior configured by ACLs");
  (void)running.CreateIntention("*", "db", "allow");
  answer = authz::ParseAuthorize(ask("db", "web").body);
  REQUIRE(answer);
  CHECK(answer->authorized);
  CHECK(answer->reason.starts_with("Matched L4 intention: default/* => default/db (ID: "));
  CHECK(answer->reason.ends_with(", Precedence: 8, Action: ALLOW)"));
  CHECK(ask("", "web").body == "Target service must be specified");
  CHECK(ask("db", "a b").body == "ClientCertURI not a valid Connect identifier");
}

TEST_CASE("dev: like 1.8 it answers in the words and shapes of that version") {
  Running running({.like = dev::Like::kOld, .default_policy = authz::DefaultPolicy::kDeny});
  const auto ask = [&](const std::string& body) {
    return running.Ask("POST", "/v1/agent/connect/authorize", body);
  };
  const std::string caller =
      "spiffe://" + running.agent->trust_domain() + "/ns/default/dc/dc1/svc/web";
  CHECK(ask(R"({"Target":""})").body == "Bad request: Target service must be specified");
  const std::string id = running.CreateIntention("web", "db", "allow");
  CHECK(authz::ParseAuthorize(ask(Json{{"Target", "db"}, {"ClientCertURI", caller}}.dump()).body)
            ->reason ==
        "Matched intention: ALLOW default/web => default/db (ID: " + id + ", Precedence: 9)");
  CHECK(running
            .Ask("POST", "/v1/connect/intentions",
                 R"({"SourceName":"web","DestinationName":"db","Action":"allow"})")
            .body.starts_with("duplicate intention found: ALLOW default/web => default/db (ID: "));
  const std::string exact = "/v1/connect/intentions/exact?source=web&destination=db";
  CHECK(running.Ask("PUT", exact, R"({"Action":"deny"})").body == "true\n");
  CHECK(running.Document(exact)["ID"] == id);
  CHECK(running.Document(exact)["Description"] == "");
  CHECK(running.Ask("PUT", "/v1/agent/service/deregister/none").status == 200);
  CHECK(running.Ask("PUT", "/v1/agent/check/pass/none").body ==
        "CheckID \"none\" does not have associated TTL");
  const http::Response mesh = running.Ask("GET", "/v1/config/mesh/mesh");
  CHECK(mesh.status == 500);
  CHECK(mesh.body == "invalid config entry kind: mesh");
  const http::Response none = running.Ask("GET", "/v1/health/connect/db");
  CHECK(none.Header("x-consul-query-backend") == nullptr);
  CHECK(none.body == "[]\n");
}

TEST_CASE("dev: the default for intentions goes before that of ACLs, whatever the header says") {
  Running running({.default_policy = authz::DefaultPolicy::kDeny,
                   .default_intention_policy = authz::DefaultPolicy::kAllow});
  const http::Response response =
      running.Ask("POST", "/v1/agent/connect/authorize",
                  Json{{"Target", "db"},
                       {"ClientCertURI",
                        "spiffe://" + running.agent->trust_domain() + "/ns/default/dc/dc1/svc/web"}}
                      .dump());
  const auto answer = authz::ParseAuthorize(response.body);
  REQUIRE(answer);
  CHECK(answer->authorized);
  CHECK(answer->reason == "Default intention policy");
  CHECK(*response.Header("x-consul-default-acl-policy") == "deny");
  CHECK(running.Document("/v1/connect/intentions/check?source=web&destination=db")["Allowed"] ==
        true);
}

TEST_CASE("dev: a config entry is written, merged into a sidecar, waited for and taken back") {
  Running running;
  running.Put("/v1/agent/service/register", R"({"Name":"web","Port":1,"Connect":{"SidecarService":
      {"Proxy":{"Config":{"protocol":"grpc"},"Upstreams":[{"DestinationName":"db","LocalBindPort":2}]}}}})");
  const std::string sidecar = "/v1/agent/service/web-sidecar-proxy";
  const std::string hash = running.Document(sidecar)["ContentHash"];
  const std::string index = IndexOf(running.Ask("GET", "/v1/health/connect/web"));
  Waiting document(running, sidecar + "?wait=10s&hash=" + hash);
  Waiting health(running, "/v1/health/connect/web?wait=10s&index=" + index);
  Waiting entry(running, "/v1/config/proxy-defaults/global?wait=10s&index=" +
                             IndexOf(running.Ask("GET", "/v1/config/proxy-defaults/global")));
  CHECK(running.Ask("GET", "/v1/config/proxy-defaults/global").body ==
        "Config entry not found for \"proxy-defaults\" / \"global\"");
  running.Put("/v1/config", R"({"Kind":"proxy-defaults","Name":"global",
      "Config":{"protocol":"http","x":1},"MeshGateway":{"Mode":"local"}})");
  RunUntil(running.loop, [&] { return document.answer && health.answer && entry.answer; });
  CHECK(entry.answer->status == 200);
  const Json proxy = Json::parse(document.answer->body)["Proxy"];
  CHECK(proxy["Config"] == Json{{"protocol", "grpc"}, {"x", 1}});
  CHECK(proxy["Upstreams"][0]["Config"]["protocol"] == "http");
  CHECK(Json::parse(health.answer->body)[0]["Service"]["Proxy"]["MeshGateway"]["Mode"] == "local");
  CHECK(
      running.Ask("PUT", "/v1/config?cas=1", R"({"Kind":"proxy-defaults","Name":"global"})").body ==
      "false");
  CHECK(running.Ask("DELETE", "/v1/config/proxy-defaults/global").body == "{}");
  CHECK(running.Document(sidecar)["ContentHash"] == hash);
  CHECK(running
            .Ask("PUT", "/v1/config", R"({"Kind":"service-resolver","Name":"a",
      "Redirect":{"Service":"a","ServiceSubset":"v1"}})")
            .status == 500);
  CHECK(running.Document("/v1/config/service-resolver").empty());
  CHECK(running.Ask("PUT", "/v1/config", R"({"Kind":"service-intentions","Name":"db"})").body ==
        "At least one source is required");
}

TEST_CASE("dev: leafs lead to the root, and are renewed before they expire") {
  Running running({.leaf_lifetime = std::chrono::seconds(1)});
  const auto roots = authz::ParseRoots(running.Ask("GET", "/v1/agent/connect/ca/roots").body);
  REQUIRE(roots);
  CHECK(roots->trust_domain == running.agent->trust_domain());
  CHECK(roots->pems.size() == 1);
  CHECK(tls::TrustBundle::Make(roots->trust_domain, roots->pems));
  const http::Response first = running.Ask("GET", "/v1/agent/connect/ca/leaf/web");
  const auto leaf = authz::ParseLeaf(first.body);
  REQUIRE(leaf);
  const auto credentials = tls::Credentials::Make(leaf->certificate_pem, leaf->private_key_pem);
  REQUIRE(credentials);
  const std::string uri = "spiffe://" + roots->trust_domain + "/ns/default/dc/dc1/svc/web";
  CHECK((*credentials)->id().Uri() == uri);
  CHECK(first.body.find('"' + uri + '"') != std::string::npos);
  CHECK(
      authz::ParseLeaf(running.Ask("GET", "/v1/agent/connect/ca/leaf/web").body)->certificate_pem ==
      leaf->certificate_pem);
  Waiting waiting(running, "/v1/agent/connect/ca/leaf/web?wait=10s&index=" + IndexOf(first));
  RunUntil(running.loop, [&] { return waiting.answer.has_value(); });
  const auto renewed = authz::ParseLeaf(waiting.answer->body);
  REQUIRE(renewed);
  CHECK(renewed->certificate_pem != leaf->certificate_pem);
  CHECK(running.Ask("GET", "/v1/agent/connect/ca/leaf/a%20b").status == 400);
}

TEST_CASE("dev: prepared queries answer with the healthy instances of their service") {
  Running running;
  running.Put(
      "/v1/agent/service/register",
      R"({"Name":"px","Kind":"connect-proxy","Port":9,"Proxy":{"DestinationServiceName":"db"}})");
  const http::Response created = running.Ask(
      "POST", "/v1/query", R"({"Name":"dbq","Service":{"Service":"db","OnlyPassing":true}})");
  CHECK(created.status == 200);
  const auto answer =
      authz::ParseQuery(running.Ask("GET", "/v1/query/dbq/execute?connect=true").body);
  REQUIRE(answer);
  CHECK(answer->service == "db");
  CHECK(answer->datacenter == "dc1");
  CHECK(answer->instances.size() == 1);
  CHECK(running.Document("/v1/query/dbq/execute")["Nodes"].empty());
  running.Put("/v1/agent/service/maintenance/px?enable=true");
  CHECK(running.Document("/v1/query/dbq/execute?connect=true")["Nodes"].empty());
  CHECK(running.Ask("GET", "/v1/query/none/execute").status == 404);
  CHECK(running.Ask("POST", "/v1/query", R"({"Name":"dbq","Service":{"Service":"x"}})").status ==
        500);
  const std::string id = Json::parse(created.body)["ID"];
  CHECK(running.Document("/v1/query/" + id)[0]["Name"] == "dbq");
  CHECK(running.Ask("DELETE", "/v1/query/" + id).status == 200);
  CHECK(running.Document("/v1/query").empty());
}

TEST_CASE("dev: what the agent does not know is said, not guessed") {
  Running running;
  CHECK(running.Ask("GET", "/v1/nope").status == 404);
  const http::Response wrong = running.Ask("GET", "/v1/agent/service/register");
  CHECK(wrong.status == 405);
  CHECK(wrong.body == "method GET not allowed");
  CHECK(*wrong.Header("allow") == "PUT");
  CHECK(running.Ask("GET", "/v1/health/connect/db?dc=dc9").body == "No path to datacenter");
  CHECK(running.Ask("GET", "/v1/health/connect/db?index=x").body == "Invalid index");
  CHECK(running.Ask("GET", "/v1/health/connect/db?index=1&wait=x").body == "Invalid wait time");
  CHECK(running.Ask("GET", "/v1/agent/services?filter=x").status == 400);
  CHECK(running.Document("/v1/agent/self")["Config"]["Datacenter"] == "dc1");
  CHECK(running.Document("/v1/status/leader") == "127.0.0.1:8300");
}

TEST_CASE("dev: bytes that are no UTF-8 in a path do not end the agent") {
  Running running;
  CHECK(running.Ask("PUT", "/v1/agent/service/maintenance/%ff?enable=true").status == 404);
  CHECK(running.Ask("GET", "/v1/connect/intentions/match?by=destination&name=%ff%fe").status ==
        200);
}

TEST_CASE("dev: the command refuses other addresses than loopback, and what it does not know") {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"-addr", "0.0.0.0:0"},
                                             {"-addr=192.0.2.1:8500"},
                                             {"-addr", "[::]:0"},
                                             {"-addr", "localhost:0"},
                                             {"-addr"},
                                             {"--default-policy", "maybe"},
                                             {"-default-intention-policy", "maybe"},
                                             {"-default-intention-policy=allow", "-like=1.8"},
                                             {"-like", "1.9"},
                                             {"-http-max-conns-per-client", "many"},
                                             {"-datacenter", "a/b"},
                                             {"-log-level", "LOUD"},
                                             {"-nope"},
                                             {"stray"}}) {
    CHECK(dev::RunDev(arguments) == 1);
  }
  CHECK(dev::RunDev({"-help"}) == 0);
}
