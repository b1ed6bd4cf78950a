// Compiled discovery chains: as Consul 1.21 answered them, and as nobody should.
#include <doctest/doctest.h>

#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "authz/consul/api.h"

namespace mooring::authz {
namespace {

using nlohmann::json;

constexpr char kDb[] = "v1.db.default.default.dc1";
constexpr char kDb2[] = "db2.default.default.dc2";
constexpr char kDomain[] = "1256e92d-a0a4-4507-0226-dc0ec5a438dd.consul";

// Recorded is the body of a recording.
std::string Recorded(const std::string& file) {
  std::ifstream stream(MOORING_SOURCE_ROOT "/tests/data/consul-1.21/" + file, std::ios::binary);
  REQUIRE_MESSAGE(stream.is_open(), file);
  std::stringstream text;
  text << stream.rdbuf();
  return file.ends_with(".http") ? text.str().substr(text.str().find("\r\n\r\n") + 4) : text.str();
}

json Good() { return json::parse(Recorded("discovery_chain_failover.json")); }

std::string Problem(const std::string& body) {
  const auto chain = ParseChain(body);
  return chain ? std::string() : chain.error().message;
}

// Row is what a document becomes, and what is said of it.
struct Row {
  const char* title;
  std::function<void(json& chain)> change;
  std::string says;
};

void CheckProblems(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    CAPTURE(row.title);
    json document = Good();
    row.change(document["Chain"]);
    CHECK(Problem(document.dump()) == "the agent's discovery chain: " + row.says);
  }
}

std::string TargetPath(const std::string& id) { return "Chain.Targets." + id; }
json& Node(json& chain) { return chain["Nodes"][chain["StartNode"].get<std::string>()]; }

}  // namespace

TEST_CASE("chain: a service without a resolver has itself as its one target") {
  const auto chain = ParseChain(Recorded("discovery_chain.http"));
  REQUIRE(chain);
  CHECK(chain->service == "db");
  CHECK(chain->datacenter == "dc1");
  CHECK(chain->connect_timeout == "5s");
  CHECK(chain->beyond.empty());
  REQUIRE(chain->targets.size() == 1);
  const ChainTarget& target = chain->targets.front();
  CHECK(target.id == "db.default.default.dc1");
  CHECK(target.service == "db");
  CHECK(target.subset.empty());
  CHECK(target.filter.empty());
  CHECK_FALSE(target.only_passing);
  CHECK(target.ns == "default");
  CHECK(target.partition == "default");
  CHECK(target.datacenter == "dc1");
  CHECK(target.peer.empty());
  CHECK(target.sni == "db.default.dc1.internal.21ec7e3a-bc25-b0d8-343d-e4f68c1266b5.consul");
  CHECK(target.mesh_gateway_mode == "local");
}

TEST_CASE("chain: a subset has its name, its filter and its own SNI, and failover its order") {
  const auto chain = ParseChain(Recorded("discovery_chain_failover.json"));
  REQUIRE(chain);
  CHECK(chain->service == "db");
  CHECK(chain->connect_timeout == "3s");
  REQUIRE(chain->targets.size() == 2);
  const ChainTarget& first = chain->targets[0];
  CHECK(first.id == kDb);
  CHECK(first.service == "db");
  CHECK(first.subset == "v1");
  CHECK(first.filter == "Service.Meta.version == v1");
  CHECK(first.datacenter == "dc1");
  CHECK(first.sni == std::string("v1.db.default.dc1.internal.") + kDomain);
  CHECK(first.mesh_gateway_mode.empty());
  const ChainTarget& second = chain->targets[1];
  CHECK(second.id == kDb2);
  CHECK(second.service == "db2");
  CHECK(second.subset.empty());
  CHECK(second.filter.empty());
  CHECK(second.datacenter == "dc2");
  CHECK(second.sni == std::string("db2.default.dc2.internal.") + kDomain);
}

TEST_CASE("chain: of a redirect the service that was asked for is left in its name alone") {
  const auto asked = ParseChain(Recorded("discovery_chain_failover.json"));
  auto chain = ParseChain(Recorded("discovery_chain_redirect.json"));
  REQUIRE(asked);
  REQUIRE(chain);
  CHECK(chain->service == "old");
  CHECK_FALSE(*chain == *asked);
  chain->service = "db";
  CHECK(*chain == *asked);
}

TEST_CASE("chain: a chain of 1.8 has no partitions, and IDs without them") {
  const auto chain = ParseChain(R"({"Chain":{"ServiceName":"db","Namespace":"default",
    "Datacenter":"dc1","Protocol":"tcp","StartNode":"resolver:db.default.dc1","Nodes":{
      "resolver:db.default.dc1":{"Type":"resolver","Name":"db.default.dc1","Resolver":{
        "ConnectTimeout":"5s","Default":true,"Target":"db.default.dc1"}}},
    "Targets":{"db.default.dc1":{"ID":"db.default.dc1","Service":"db","Namespace":"default",
      "Datacenter":"dc1","MeshGateway":{},"Subset":{},"SNI":"db.default.dc1.internal.td.consul",
      "Name":"db.default.dc1.internal.td.consul"}}}})");
  REQUIRE(chain);
  REQUIRE(chain->targets.size() == 1);
  CHECK(chain->targets.front().id == "db.default.dc1");
  CHECK(chain->targets.front().ns == "default");
  CHECK(chain->targets.front().partition.empty());
}

TEST_CASE("chain: failover targets come in the resolver's order, not in that of their names") {
  json document = Good();
  json& chain = document["Chain"];
  std::vector<std::string> order;
  for (const std::string name : {"zeta", "alpha", "mid"}) {
    const std::string id = name + ".default.default.dc1";
    chain["Targets"][id] = {{"ID", id}, {"Service", name}, {"Datacenter", "dc1"}};
    order.push_back(id);
  }
  Node(chain)["Resolver"]["Failover"]["Targets"] = order;
  const auto parsed = ParseChain(document.dump());
  REQUIRE(parsed);
  REQUIRE(parsed->targets.size() == 4);
  for (std::size_t i = 0; i < order.size(); ++i) CHECK(parsed->targets[i + 1].id == order[i]);
  CHECK(parsed->targets[2].service == "alpha");
}

TEST_CASE("chain: a subset that wants only who passes says so") {
  json document = Good();
  document["Chain"]["Targets"][kDb]["Subset"] = {{"OnlyPassing", true}};
  const auto chain = ParseChain(document.dump());
  REQUIRE(chain);
  CHECK(chain->targets.front().only_passing);
  CHECK(chain->targets.front().filter.empty());
}

TEST_CASE("chain: a target of a peer is told by the peer's name, and has no datacenter") {
  json document = Good();
  json& chain = document["Chain"];
  const std::string id = "db.default.default.external.beta";
  chain["Targets"][id] = {{"ID", id},
                          {"Service", "db"},
                          {"Peer", "beta"},
                          {"Datacenter", ""},
                          {"SNI", "db.default.default.beta.external." + std::string(kDomain)}};
  Node(chain)["Resolver"]["Failover"]["Targets"] = {id, kDb2};
  const auto parsed = ParseChain(document.dump());
  REQUIRE(parsed);
  REQUIRE(parsed->targets.size() == 3);
  CHECK(parsed->targets[1].peer == "beta");
  CHECK(parsed->targets[1].datacenter.empty());
  CHECK(parsed->targets[2].peer.empty());
}

TEST_CASE("chain: what decides by request is named, and none of its targets is taken") {
  for (const std::string type : {"splitter", "router"}) {
    CAPTURE(type);
    json document = Good();
    json& chain = document["Chain"];
    const std::string start = type + ":db.default.default";
    chain["StartNode"] = start;
    chain["Nodes"][start] = {{"Type", type}, {"Name", "db.default.default"}};
    const auto parsed = ParseChain(document.dump());
    REQUIRE(parsed);
    CHECK(parsed->service == "db");
    CHECK(parsed->beyond == "its " + type + " (" + start + ") decides by request");
    CHECK(parsed->targets.empty());
  }
}

TEST_CASE("chain: what lies behind a resolver that nothing leads to is not read") {
  json document = Good();
  document["Chain"]["Targets"]["unused"] = 7;
  document["Chain"]["Nodes"]["router:unused"] = nullptr;
  CHECK(Problem(document.dump()).empty());
}

TEST_CASE("chain: null stands for absent where a part may be absent") {
  json document = Good();
  json& chain = document["Chain"];
  Node(chain)["Resolver"]["Failover"] = nullptr;
  Node(chain)["Resolver"]["ConnectTimeout"] = nullptr;
  for (const char* field :
       {"ServiceSubset", "Namespace", "Partition", "Peer", "Subset", "SNI", "MeshGateway"})
    chain["Targets"][kDb][field] = nullptr;
  const auto parsed = ParseChain(document.dump());
  REQUIRE(parsed);
  CHECK(parsed->connect_timeout.empty());
  REQUIRE(parsed->targets.size() == 1);
  ChainTarget bare;
  bare.id = kDb;
  bare.service = "db";
  bare.datacenter = "dc1";
  CHECK(parsed->targets.front() == bare);
}

TEST_CASE("chain: two that differ in one thing are not the same") {
  const auto plain = ParseChain(Good().dump());
  REQUIRE(plain);
  CHECK(*plain == *ParseChain(Good().dump()));
  const std::vector<std::function<void(json&)>> changes{
      [](json& chain) { chain["ServiceName"] = "x"; },
      [](json& chain) { chain["Datacenter"] = "dc9"; },
      [](json& chain) { Node(chain)["Resolver"]["ConnectTimeout"] = "4s"; },
      [](json& chain) { Node(chain)["Resolver"]["Failover"] = nullptr; },
      [](json& chain) { chain["Targets"][kDb2]["Service"] = "x"; },
      [](json& chain) { chain["Targets"][kDb2]["Datacenter"] = "dc9"; },
      [](json& chain) { chain["Targets"][kDb2]["Namespace"] = "x"; },
      [](json& chain) { chain["Targets"][kDb2]["Partition"] = "x"; },
      [](json& chain) { chain["Targets"][kDb2]["Peer"] = "x"; },
      [](json& chain) { chain["Targets"][kDb2]["SNI"] = "x"; },
      [](json& chain) { chain["Targets"][kDb2]["MeshGateway"]["Mode"] = "remote"; },
      [](json& chain) { chain["Targets"][kDb]["ServiceSubset"] = "v2"; },
      [](json& chain) { chain["Targets"][kDb]["Subset"]["Filter"] = "x"; },
      [](json& chain) { chain["Targets"][kDb]["Subset"]["OnlyPassing"] = true; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    CAPTURE(i);
    json document = Good();
    changes[i](document["Chain"]);
    const auto other = ParseChain(document.dump());
    REQUIRE(other);
    CHECK_FALSE(*plain == *other);
  }
}

TEST_CASE("chain: what is no chain is refused whole") {
  CHECK(Problem("") == "the agent's discovery chain is empty");
  CHECK(Problem("{").starts_with("the agent's discovery chain is not valid JSON"));
  CHECK(Problem(R"({"Chain":{},"Chain":{}})") ==
        "the agent's discovery chain has the key \"Chain\" twice in one object");
  CHECK(Problem("[]") == "the agent's discovery chain must be an object, not a list");
  for (const char* none : {"null", "{}", R"({"Chain":null})"}) {
    CAPTURE(none);
    CHECK(Problem(none) == "the agent's discovery chain: Chain is missing");
  }
  for (const char* wrong : {R"("db")", "[]", "1", "true"}) {
    CAPTURE(wrong);
    const std::string problem = Problem(std::string(R"({"Chain":)") + wrong + "}");
    CHECK(problem.starts_with("the agent's discovery chain: Chain must be an object"));
  }
}

TEST_CASE("chain: a part that is missing is named with the one that leads to it") {
  const std::string start = std::string("resolver:") + kDb;
  const std::string node = "Chain.Nodes." + start;
  CheckProblems({
      {"no name", [](json& c) { c.erase("ServiceName"); }, "Chain.ServiceName is missing"},
      {"an empty name", [](json& c) { c["ServiceName"] = ""; }, "Chain.ServiceName is missing"},
      {"no datacenter", [](json& c) { c.erase("Datacenter"); }, "Chain.Datacenter is missing"},
      {"no start", [](json& c) { c.erase("StartNode"); }, "Chain.StartNode is missing"},
      {"an empty start", [](json& c) { c["StartNode"] = ""; }, "Chain.StartNode is missing"},
      {"a start that is none of the nodes", [](json& c) { c["StartNode"] = "resolver:x"; },
       "Chain.Nodes.resolver:x is missing, and the chain starts there"},
      {"no nodes", [](json& c) { c.erase("Nodes"); },
       node + " is missing, and the chain starts there"},
      {"nodes that are null", [](json& c) { c["Nodes"] = nullptr; },
       node + " is missing, and the chain starts there"},
      {"a node that is null", [&](json& c) { c["Nodes"][start] = nullptr; },
       node + " is missing, and the chain starts there"},
      {"a node without a type", [](json& c) { Node(c).erase("Type"); }, node + ".Type is missing"},
      {"a resolver without what it resolves to", [](json& c) { Node(c).erase("Resolver"); },
       node + ".Resolver.Target is missing"},
      {"a resolver without a target", [](json& c) { Node(c)["Resolver"].erase("Target"); },
       node + ".Resolver.Target is missing"},
      {"a target that is none of the targets", [](json& c) { Node(c)["Resolver"]["Target"] = "x"; },
       TargetPath("x") + " is missing, and a resolver names it"},
      {"no targets", [](json& c) { c.erase("Targets"); },
       TargetPath(kDb) + " is missing, and a resolver names it"},
      {"a target that is null", [](json& c) { c["Targets"][kDb] = nullptr; },
       TargetPath(kDb) + " is missing, and a resolver names it"},
      {"a failover target that is none of the targets", [](json& c) { c["Targets"].erase(kDb2); },
       TargetPath(kDb2) + " is missing, and a resolver names it"},
      {"a failover target without a name",
       [](json& c) { Node(c)["Resolver"]["Failover"]["Targets"] = {""}; },
       TargetPath("") + " is missing, and a resolver names it"},
      {"a target without a service", [](json& c) { c["Targets"][kDb].erase("Service"); },
       TargetPath(kDb) + ".Service is missing"},
      {"a failover target without a service", [](json& c) { c["Targets"][kDb2]["Service"] = ""; },
       TargetPath(kDb2) + ".Service is missing"},
      {"a target without a datacenter", [](json& c) { c["Targets"][kDb].erase("Datacenter"); },
       TargetPath(kDb) + ".Datacenter is missing"},
      {"a target whose datacenter is null",
       [](json& c) { c["Targets"][kDb2]["Datacenter"] = nullptr; },
       TargetPath(kDb2) + ".Datacenter is missing"},
  });
}

TEST_CASE("chain: a part of another type is named with what it should be") {
  const std::string node = std::string("Chain.Nodes.resolver:") + kDb;
  const std::string db = TargetPath(kDb);
  CheckProblems({
      {"name", [](json& c) { c["ServiceName"] = 7; },
       "Chain.ServiceName must be text, not a number"},
      {"datacenter", [](json& c) { c["Datacenter"] = json::array(); },
       "Chain.Datacenter must be text, not a list"},
      {"start", [](json& c) { c["StartNode"] = json::object(); },
       "Chain.StartNode must be text, not an object"},
      {"nodes", [](json& c) { c["Nodes"] = json::array(); },
       "Chain.Nodes must be an object, not a list"},
      {"node", [](json& c) { Node(c) = "resolver"; }, node + " must be an object, not text"},
      {"type", [](json& c) { Node(c)["Type"] = true; }, node + ".Type must be text, not a boolean"},
      {"resolver", [](json& c) { Node(c)["Resolver"] = 1; },
       node + ".Resolver must be an object, not a number"},
      {"timeout", [](json& c) { Node(c)["Resolver"]["ConnectTimeout"] = 3; },
       node + ".Resolver.ConnectTimeout must be text, not a number"},
      {"target", [](json& c) { Node(c)["Resolver"]["Target"] = json::object(); },
       node + ".Resolver.Target must be text, not an object"},
      {"failover", [](json& c) { Node(c)["Resolver"]["Failover"] = {kDb2}; },
       node + ".Resolver.Failover must be an object, not a list"},
      {"failover targets", [](json& c) { Node(c)["Resolver"]["Failover"]["Targets"] = kDb2; },
       node + ".Resolver.Failover.Targets must be a list, not text"},
      {"a failover target", [](json& c) { Node(c)["Resolver"]["Failover"]["Targets"] = {7}; },
       node + ".Resolver.Failover.Targets holds a number among its text"},
      {"a failover target that is null",
       [](json& c) { Node(c)["Resolver"]["Failover"]["Targets"] = {nullptr}; },
       node + ".Resolver.Failover.Targets holds null among its text"},
      {"targets", [](json& c) { c["Targets"] = json::array(); },
       "Chain.Targets must be an object, not a list"},
      {"one of them", [](json& c) { c["Targets"][kDb] = json::array(); },
       db + " must be an object, not a list"},
      {"service", [](json& c) { c["Targets"][kDb]["Service"] = 7; },
       db + ".Service must be text, not a number"},
      {"subset's name", [](json& c) { c["Targets"][kDb]["ServiceSubset"] = json::object(); },
       db + ".ServiceSubset must be text, not an object"},
      {"peer", [](json& c) { c["Targets"][kDb]["Peer"] = false; },
       db + ".Peer must be text, not a boolean"},
      {"subset", [](json& c) { c["Targets"][kDb]["Subset"] = "v1"; },
       db + ".Subset must be an object, not text"},
      {"filter", [](json& c) { c["Targets"][kDb]["Subset"]["Filter"] = json::array(); },
       db + ".Subset.Filter must be text, not a list"},
      {"only passing", [](json& c) { c["Targets"][kDb]["Subset"]["OnlyPassing"] = "yes"; },
       db + ".Subset.OnlyPassing must be true or false, not text"},
      {"SNI", [](json& c) { c["Targets"][kDb]["SNI"] = 1; },
       db + ".SNI must be text, not a number"},
      {"gateways", [](json& c) { c["Targets"][kDb]["MeshGateway"] = "local"; },
       db + ".MeshGateway must be an object, not text"},
      {"gateways' mode", [](json& c) { c["Targets"][kDb]["MeshGateway"]["Mode"] = 2; },
       db + ".MeshGateway.Mode must be text, not a number"},
      {"a NUL in a name", [](json& c) { c["Targets"][kDb]["Service"] = std::string("d\0b", 3); },
       db + ".Service holds a NUL character"},
      {"a NUL in a target", [](json& c) { Node(c)["Resolver"]["Target"] = std::string("d\0b", 3); },
       node + ".Resolver.Target holds a NUL character"},
  });
}

TEST_CASE("chain: a fault's place is shown shortened where its name is long") {
  json document = Good();
  Node(document["Chain"])["Resolver"]["Target"] = std::string(5'000, 'x');
  const std::string problem = Problem(document.dump());
  CHECK(problem.find("is missing, and a resolver names it") != std::string::npos);
  CHECK(problem.size() < 300);
}

}  // namespace mooring::authz
