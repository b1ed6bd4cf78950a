// Answers of a Consul 1.21 as received (tests/data/consul-1.21), through the decoders that live
// answers go through.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "authz/consul/api.h"
#include "proxy/control/answer_headers.h"
#include "proxy/control/proxy_config.h"
#include "proxy/http/parser.h"

namespace mooring::control {
namespace {

const std::filesystem::path kFolder = MOORING_SOURCE_ROOT "/tests/data/consul-1.21";

std::string Text(const std::string& file) {
  std::ifstream stream(kFolder / file, std::ios::binary);
  REQUIRE_MESSAGE(stream.is_open(), file);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

// Answer parses a recording as if it came from a socket. What was taken out of some made them
// shorter than they declare.
http::Response Answer(const std::string& file) {
  std::string text = Text(file);
  if (!file.ends_with(".http")) {
    http::Response response;
    response.status = 200;
    response.body = text;
    return response;
  }
  const std::size_t body = text.find("\r\n\r\n") + 4;
  const std::string header = "Content-Length: ";
  if (const std::size_t at = text.find(header); at < body) {
    text.replace(at, text.find("\r\n", at) - at, header + std::to_string(text.size() - body));
  }
  http::Parser parser(http::Parser::Kind::kResponse, {});
  std::span<const std::uint8_t> in(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  const auto progress = parser.Feed(in);
  CAPTURE(file);
  REQUIRE_MESSAGE(progress == http::Parser::Progress::kDone, parser.fault_text());
  CHECK(in.empty());
  http::Response response;
  response.status = parser.message().status;
  response.headers = parser.message().headers;
  response.body = parser.message().body;
  return response;
}

template <typename T>
std::string Outcome(const Result<T>& result) {
  return result ? "" : result.error().message;
}

using Decoder = std::function<std::string(const std::string& body)>;

// By the beginning of the file's name: how the answers to that request are read; "" is success.
const std::vector<std::pair<std::string, Decoder>> kDecoders{
    {"agent_services",
     [](const auto& body) { return Outcome(authz::ParseSidecars(body, "web-1")); }},
    {"agent_service_", [](const auto& body) { return Outcome(authz::ParseProxy(body)); }},
    {"agent_checks",
     [](const auto& body) {
       return Outcome(authz::ParseServiceChecks(body, "web-1-sidecar-proxy"));
     }},
    {"roots", [](const auto& body) { return Outcome(authz::ParseRoots(body)); }},
    {"no_server_roots", [](const auto& body) { return Outcome(authz::ParseRoots(body)); }},
    {"leader_of_dev", [](const auto& body) { return Outcome(authz::ParseRoots(body)); }},
    {"leaf", [](const auto& body) { return Outcome(authz::ParseLeaf(body)); }},
    {"match_by_cli",
     [](const auto& body) { return Outcome(authz::ParseIntentionMatch(body, "web")); }},
    {"match_jwt", [](const auto& body) { return Outcome(authz::ParseIntentionMatch(body, "jw")); }},
    {"match", [](const auto& body) { return Outcome(authz::ParseIntentionMatch(body, "db")); }},
    {"peer_match",
     [](const auto& body) { return Outcome(authz::ParseIntentionMatch(body, "db")); }},
    {"authorize", [](const auto& body) { return Outcome(authz::ParseAuthorize(body)); }},
    {"health", [](const auto& body) { return Outcome(authz::ParseInstances(body)); }},
    {"peer_health", [](const auto& body) { return Outcome(authz::ParseInstances(body)); }},
    {"query", [](const auto& body) { return Outcome(authz::ParseQuery(body)); }},
    {"peer_query", [](const auto& body) { return Outcome(authz::ParseQuery(body)); }},
    {"discovery_chain", [](const auto& body) { return Outcome(authz::ParseChain(body)); }},
    {"token_self", [](const auto& body) { return Outcome(authz::ParseTokenAccessor(body)); }},
};

// Good answers whose body nobody reads.
const std::set<std::string> kUnread{"register_200.http", "deregister_200.http",
                                    "intentions_list.http"};

TEST_CASE(
    "recorded answers: every good one is read by the decoder of its request, and every other has a "
    "status that is none") {
  std::size_t read = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    const std::string file = entry.path().filename();
    if (!file.ends_with(".http") && !file.ends_with(".json")) continue;
    CAPTURE(file);
    const http::Response response = Answer(file);
    if (response.status != 200) {
      CHECK(response.status >= 400);
      CHECK_FALSE(response.body.empty());
      continue;
    }
    if (kUnread.contains(file)) continue;
    const auto decoder = std::find_if(kDecoders.begin(), kDecoders.end(), [&](const auto& each) {
      return file.starts_with(each.first);
    });
    REQUIRE(decoder != kDecoders.end());
    const std::string fault = decoder->second(response.body);
    if (file == "agent_service_not_a_proxy.http") {
      CHECK(fault.find("connect-proxy") != std::string::npos);
    } else {
      CHECK(fault == "");
    }
    ++read;
  }
  CHECK(read == 33);
}

TEST_CASE("recorded answers: what an index is given for, and who filtered what") {
  CHECK(HeaderNumber(Answer("match_null.http"), "x-consul-index") == 21);
  CHECK(HeaderNumber(Answer("intentions_list.http"), "x-consul-index") == 42);
  CHECK(HeaderSays(Answer("health_connect_filtered.http"), kFilteredHeader, "true"));
  // The agent's own lists are marked for those alone who show a token, so not here.
  CHECK_FALSE(HeaderSays(Answer("agent_services_filtered.http"), kFilteredHeader, "true"));
  CHECK(authz::ParseSidecars(Answer("agent_services_filtered.http").body, "web-1")->services_seen ==
        0);
  CHECK_FALSE(HeaderSays(Answer("health_connect.http"), kFilteredHeader, "true"));
  CHECK(HeaderSays(Answer("no_server_match_500.http"), "x-consul-knownleader", "false"));
}

TEST_CASE(
    "recorded answers: a registration merged from central entries, and what of it is not obeyed") {
  const auto document = authz::ParseProxy(Answer("agent_service_merged.http").body);
  REQUIRE(document);
  const ProxyConfig config = FromDocument(*document, config::ServiceSettings{});
  CHECK(config.service == "web");
  CHECK(config.local_connect_timeout == milliseconds(900));
  REQUIRE(config.upstreams.size() == 4);  // the peer's is left out
  CHECK(config.upstreams[0].listener == "upstream:db");
  CHECK(config.upstreams[0].settings.connect_timeout == milliseconds(3000));
  CHECK(config.upstreams[1].listener == "upstream:dbq.query");
  CHECK(config.upstreams[2].listener == "upstream:far@dc2");
  CHECK(config.upstreams[3].settings.listen.path == "/run/up.sock");
  const auto said = [&](const std::string& part) {
    return std::count_if(
        config.warnings.begin(), config.warnings.end(),
        [&](const std::string& warning) { return warning.find(part) != std::string::npos; });
  };
  for (const std::size_t i : {0U, 2U, 3U})
    CHECK(config.upstreams[i].settings.max_connections == 3U);
  CHECK(said("Proxy.Config: protocol http") == 1);
  CHECK(config.max_inbound_connections == 7U);
  for (const std::string name : {"db", "far", "sock"}) {
    CAPTURE(name);
    CHECK(said("upstream " + name + " Config: limits") == 0);
  }
  CHECK(said("passive_health_check") == 0);
  CHECK(config.upstreams[0].settings.eject_quiet == milliseconds(5000));
  CHECK(config.upstreams[0].settings.eject_after == 2U);
  CHECK(said("upstream far: MeshGateway mode remote is not obeyed") == 0);
  CHECK(said("upstream db: MeshGateway") == 0);  // it is for traffic between datacenters
  CHECK(said("upstream pdb: DestinationPeer \"beta\"") == 1);
  CHECK(said("is not known to Mooring") == 0);
}

TEST_CASE("recorded answers: instances of a peer are none of ours, and whose they are is known") {
  const auto health = authz::ParseInstances(Answer("peer_health.json").body);
  REQUIRE(health);
  CHECK(health->empty());
  const auto query = authz::ParseQuery(Answer("peer_query.json").body);
  REQUIRE(query);
  CHECK(query->instances.empty());
  CHECK(query->peer == "beta");
  const auto near = authz::ParseQuery(Answer("query_execute.http").body);
  REQUIRE(near);
  CHECK(near->instances.size() == 1);
  CHECK(near->peer == "");
}

TEST_CASE("recorded answers: an instance has the locality of its service") {
  const auto health = authz::ParseInstances(Answer("health_connect.http").body);
  REQUIRE(health);
  REQUIRE(health->size() == 1);
  CHECK(health->front().locality == authz::Locality{"eu", "z1"});
  const auto query = authz::ParseQuery(Answer("query_execute.http").body);
  REQUIRE(query);
  REQUIRE(query->instances.size() == 1);
  CHECK(query->instances.front().locality == authz::Locality{"eu", "z1"});
}

TEST_CASE("recorded answers: a terminating gateway is an instance of what it stands in for") {
  const auto instances =
      authz::ParseInstances(Answer("health_connect_terminating_gateway.json").body);
  REQUIRE(instances);
  REQUIRE(instances->size() == 1);
  CHECK(instances->front().id == "tgw");
  CHECK(instances->front().port == 20246);
  CHECK(instances->front().claimed_service.empty());
}

TEST_CASE(
    "recorded answers: the agent's own policy for intentions is told from the default of ACLs") {
  const auto policy = authz::ParseAuthorize(Answer("authorize_default_intention_policy.http").body);
  REQUIRE(policy);
  CHECK(policy->authorized);
  CHECK(policy->reason == "Default intention policy");
  CHECK(HeaderSays(Answer("authorize_default_intention_policy.http"), "x-consul-default-acl-policy",
                   "deny"));
  const auto acls = authz::ParseAuthorize(Answer("authorize_default_deny.http").body);
  REQUIRE(acls);
  CHECK_FALSE(acls->authorized);
  CHECK(acls->reason == "Default behavior configured by ACLs");
}

}  // namespace
}  // namespace mooring::control
