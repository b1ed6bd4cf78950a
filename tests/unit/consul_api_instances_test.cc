// Health answers and prepared queries.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "authz/consul/api.h"

namespace mooring::authz {
namespace {

bool Mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// As Consul 1.8.7 sends it, trimmed.
const std::string kEntry = R"({"Node":{"ID":"89a9","Node":"vm","Address":"10.0.0.9",
  "Datacenter":"dc1","TaggedAddresses":{"lan":"10.0.0.9","wan":"192.0.2.9","lan_ipv4":"10.0.0.9"},
  "Meta":{"consul-network-segment":""}},
 "Service":{"Kind":"connect-proxy","ID":"db-1-sidecar-proxy","Service":"db-sidecar-proxy",
  "Tags":null,"Address":"","Port":31800,"Weights":{"Passing":1,"Warning":1},
  "Proxy":{"DestinationServiceName":"db","DestinationServiceID":"db-1",
   "LocalServiceAddress":"127.0.0.1","LocalServicePort":19090,"Config":{"protocol":"tcp"},
   "MeshGateway":{},"Expose":{}},"Connect":{}},
 "Checks":[{"CheckID":"serfHealth","Status":"passing"},
  {"CheckID":"service:db-1-sidecar-proxy:1","Name":"Connect Sidecar Listening","Type":"tcp",
   "Status":"passing"}]})";

std::string Service(const std::string& fields) {
  return R"([{"Node":{"Node":"n","Address":"10.0.0.9","Datacenter":"dc1"},"Service":{)" + fields +
         "}}]";
}

const std::string kProxy = R"("Kind":"connect-proxy","Proxy":{"DestinationServiceName":"db"})";

TEST_CASE("health: a sidecar's entry of 1.8 is read") {
  const auto instances = ParseInstances("[" + kEntry + "]");
  REQUIRE(instances.has_value());
  REQUIRE(instances->size() == 1);
  const Instance& instance = instances->front();
  CHECK(instance.node == "vm");
  CHECK(instance.datacenter == "dc1");
  CHECK(instance.address == "10.0.0.9");
  CHECK(instance.port == 31800);
  CHECK(instance.wan_address == "192.0.2.9");
  CHECK(instance.wan_port == 31800);
  CHECK(instance.id == "db-1-sidecar-proxy");
  CHECK(instance.claimed_service == "db");
  CHECK(instance.weight == 1);
  CHECK(instance.locality == Locality{});
  CHECK_FALSE(instance.warning);
  CHECK_FALSE(instance.critical);
}

TEST_CASE(
    "health: critical checks that have not run are no verdict, whatever an alias of them says") {
  struct Row {
    const char* checks;
    bool critical;
    bool undecided;
    const char* interval;
  };
  const std::vector<Row> rows = {
      {R"({"Status":"passing","Output":"TCP connect: Success"})", false, false, ""},
      {R"({"Status":"critical","Output":"","Type":"tcp","Interval":"10s"})", true, true, "10s"},
      {R"({"Status":"critical","Output":"","Type":"tcp"})", true, true, ""},  // as 1.8 tells it
      {R"({"Status":"critical"},{"Status":"critical","Interval":"5s"})", true, true, "5s"},
      {R"({"Status":"critical","Output":"","Type":"alias"})", true, true, ""},
      {R"({"Status":"critical","Output":"Service x check failing","Type":"alias"})", true, true,
       ""},
      {R"({"Status":"critical","Output":"dial tcp: refused","Type":"tcp"})", true, false, ""},
      {R"({"Status":"critical","Output":"TTL expired","Type":"ttl"})", true, false, ""},
      {R"({"Status":"critical","Output":"Agent not live or unreachable","CheckID":"serfHealth"})",
       true, false, ""},
      {R"({"Status":"critical"},{"Status":"critical","Output":"refused"})", true, false, ""},
      {R"({"Status":"critical","CheckID":"_service_maintenance:db-1"})", true, false, ""},
      {R"({"Status":"critical","CheckID":"_node_maintenance"})", true, false, ""},
      {R"({"Status":"critical"},{"Status":"warning"})", true, true, ""},
      {R"({"Status":"warning","Output":""})", false, false, ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.checks);
    const auto instances = ParseInstances(
        R"([{"Node":{"Node":"n","Address":"10.0.0.9"},"Service":{"Kind":"connect-proxy","Port":1},"Checks":[)" +
        std::string(row.checks) + "]}]");
    REQUIRE(instances.has_value());
    REQUIRE(instances->size() == 1);
    CHECK(instances->front().critical == row.critical);
    CHECK(instances->front().undecided == row.undecided);
    CHECK(instances->front().check_interval == row.interval);
  }
}

TEST_CASE("health: no entries come as an empty list or null") {
  CHECK(ParseInstances("[]")->empty());
  CHECK(ParseInstances("null")->empty());
  CHECK_FALSE(ParseInstances("{}").has_value());
}

TEST_CASE("health: a service's own address wins over its node's, for WAN as well") {
  const auto own =
      ParseInstances(Service(kProxy + R"(,"Port":1,"Address":"10.1.1.1","TaggedAddresses":{
        "lan_ipv4":{"Address":"10.1.1.1","Port":1},"wan":{"Address":"192.0.2.1","Port":4431}})"));
  REQUIRE(own.has_value());
  REQUIRE(own->size() == 1);
  CHECK(own->front().address == "10.1.1.1");
  CHECK(own->front().wan_address == "192.0.2.1");
  CHECK(own->front().wan_port == 4431);

  const auto no_wan = ParseInstances(
      R"([{"Node":{"Address":"10.0.0.9","TaggedAddresses":{"wan":"192.0.2.9"}},
           "Service":{"Kind":"connect-proxy","Address":"10.1.1.1","Port":1}}])");
  REQUIRE(no_wan.has_value());
  CHECK(no_wan->front().wan_address.empty());
  CHECK(no_wan->front().wan_port == 0);
}

TEST_CASE("health: kinds that serve no mesh service, and peers, are left out") {
  struct Row {
    const char* service;
    std::size_t count;
  };
  const std::vector<Row> rows = {
      {R"("Kind":"connect-proxy","Port":1)", 1},
      {R"("Kind":"","Service":"db","Port":1,"Connect":{"Native":true})", 1},
      {R"("Service":"db","Port":1,"Connect":{"Native":true})", 1},
      {R"("Service":"db","Port":1)", 0},
      {R"("Service":"db","Port":1,"Connect":{"Native":false})", 0},
      {R"("Service":"db","Port":1,"Connect":null)", 0},
      {R"("Kind":"terminating-gateway","Port":1)", 1},
      {R"("Kind":"mesh-gateway","Port":1,"Connect":{"Native":true})", 0},
      {R"("Kind":"connect-proxy","Port":1,"PeerName":"cluster-2")", 0},
      {R"("Kind":"connect-proxy","Port":0)", 0},
      {R"("Kind":"connect-proxy")", 0},
      {R"("Kind":"connect-proxy","Port":70000)", 0},
      {R"("Kind":"connect-proxy","Port":-1)", 0},
      {R"("Kind":"connect-proxy","Port":"8443")", 1},
      {R"("Kind":"connect-proxy","Port":8443.0)", 1},
      {R"("Kind":"connect-proxy","Port":8.443e3)", 1},
  };
  for (const Row& row : rows) {
    CAPTURE(row.service);
    const auto instances = ParseInstances(Service(row.service));
    REQUIRE(instances.has_value());
    CHECK(instances->size() == row.count);
  }
}

TEST_CASE("health: an entry without any address is left out, its neighbours stay") {
  const auto instances =
      ParseInstances(R"([{"Service":{"Kind":"connect-proxy","Port":1}},)" + kEntry + "]");
  REQUIRE(instances.has_value());
  CHECK(instances->size() == 1);
}

TEST_CASE("health: a native service claims its own name") {
  const auto instances =
      ParseInstances(Service(R"("Service":"db","Port":1,"Connect":{"Native":true})"));
  CHECK(instances->front().claimed_service == "db");
}

TEST_CASE("health: checks and weights by table") {
  struct Row {
    const char* checks;
    const char* weights;
    bool warning;
    bool critical;
    int weight;
  };
  const char* const weights = R"({"Passing":10,"Warning":2})";
  const std::vector<Row> rows = {
      {"null", weights, false, false, 10},
      {"[]", "null", false, false, 1},
      {R"([{"Status":"passing"}])", weights, false, false, 10},
      {R"([{"Status":"passing"},{"Status":"warning"}])", weights, true, false, 2},
      {R"([{"Status":"warning"},{"Status":"critical"}])", weights, false, true, 10},
      {R"([{"Status":"critical"}])", weights, false, true, 10},
      {R"([{"Status":"unheard-of"}])", weights, false, true, 10},
      {"[]", R"({"Passing":0,"Warning":0})", false, false, 1},
      {"[]", R"({"Passing":-5})", false, false, 1},
      {"[]", R"({"Passing":1e9})", false, false, 65535},
      {"[]", R"({"Passing":7.0})", false, false, 7},
      {"[]", R"({"Passing":"7"})", false, false, 7},
      {R"([{"Status":"warning"}])", R"({"Passing":10})", true, false, 1},
      {R"([{"Status":"warning"}])", R"({"Passing":10,"Warning":0})", true, false, 0},
      {R"([{"Status":"warning"}])", R"({"Passing":10,"Warning":-1})", true, false, 0},
  };
  for (const Row& row : rows) {
    CAPTURE(row.checks);
    CAPTURE(row.weights);
    const auto instances = ParseInstances(
        std::string(
            R"([{"Node":{"Address":"10.0.0.9"},"Service":{"Kind":"connect-proxy","Port":1,)") +
        R"("Weights":)" + row.weights + R"(},"Checks":)" + row.checks + "}]");
    REQUIRE(instances.has_value());
    REQUIRE(instances->size() == 1);
    CHECK(instances->front().warning == row.warning);
    CHECK(instances->front().critical == row.critical);
    CHECK(instances->front().weight == row.weight);
  }
}

TEST_CASE("health: a field of the wrong type refuses the answer and is named") {
  const auto fault = [](const std::string& service) {
    const auto instances = ParseInstances(Service(service));
    return instances.has_value() ? "no error" : instances.error().message;
  };
  CHECK(fault(R"("Kind":"connect-proxy","Port":{})") ==
        "the agent's health answer: [0].Service.Port must be a whole number");
  CHECK(
      Mentions(fault(R"("Kind":"connect-proxy","Port":1.5)"), "[0].Service.Port must be a whole"));
  CHECK(Mentions(fault(R"("Kind":"connect-proxy","Port":"http")"), "[0].Service.Port must be"));
  CHECK(Mentions(fault(R"("Kind":"connect-proxy","Port":1e300)"), "[0].Service.Port must be"));
  CHECK(Mentions(fault(R"("Kind":["connect-proxy"],"Port":1)"), "[0].Service.Kind must be text"));
  CHECK(Mentions(fault(R"("Kind":"connect-proxy","Port":1,"Address":"127.0.0.1\u0000.evil")"),
                 "[0].Service.Address holds a NUL"));
  CHECK(Mentions(fault(R"("Kind":"connect-proxy","Port":1,"Proxy":"db")"),
                 "[0].Service.Proxy must be an object, not text"));
}

TEST_CASE(
    "health: where an instance is, by its locality, its node's, or the zone of that one's Meta") {
  struct Row {
    const char* node;
    const char* service;
    Locality locality;
  };
  const std::vector<Row> rows = {
      {"", "", {}},
      {R"(,"Meta":{"zone":"z1"})", "", {"", "z1"}},
      {R"(,"Meta":null,"Locality":{"Region":"eu","Zone":"z2"})", "", {"eu", "z2"}},
      {R"(,"Meta":{"zone":"z1"},"Locality":{"Region":"eu","Zone":"z2"})", "", {"eu", "z2"}},
      {R"(,"Meta":{"zone":"z1"})", R"(,"Locality":{"Region":"eu","Zone":"z3"})", {"eu", "z3"}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.node);
    CAPTURE(row.service);
    const std::string node = R"({"Node":"n","Address":"10.0.0.9")" + std::string(row.node) + "}";
    const auto instances =
        ParseInstances(R"([{"Node":)" + node + R"(,"Service":{"Kind":"connect-proxy","Port":1)" +
                       row.service + "}}]");
    REQUIRE(instances.has_value());
    CHECK(instances->front().locality == row.locality);
    if (*row.service != '\0') continue;
    const auto of_node = ParseNodeLocality(R"({"Node":)" + node + R"(,"Services":{}})");
    REQUIRE(of_node.has_value());
    CHECK(*of_node == row.locality);
  }
  CHECK(*ParseNodeLocality("null") == Locality{});
  CHECK(*ParseNodeLocality("") == Locality{});
  CHECK_FALSE(ParseNodeLocality("[]").has_value());
}

TEST_CASE("health: which app an instance stands for, and what maintenance is") {
  const auto of = [](const std::string& service, const std::string& checks = "[]") {
    const auto instances =
        ParseInstances(R"([{"Node":{"Address":"10.0.0.9"},"Service":{"Port":1,)" + service +
                       R"(},"Checks":)" + checks + "}]");
    REQUIRE(instances.has_value());
    REQUIRE(instances->size() == 1);
    return instances->front();
  };
  CHECK(of(R"("Kind":"connect-proxy","ID":"p","Proxy":{"DestinationServiceID":"db-1"})").app_id ==
        "db-1");
  CHECK(of(R"("Kind":"connect-proxy","ID":"p","Proxy":{"DestinationServiceName":"db"})").app_id ==
        "");
  CHECK(of(R"("ID":"db-1","Connect":{"Native":true})").app_id == "db-1");
  const std::string proxy = R"("Kind":"connect-proxy")";
  CHECK(of(proxy, R"([{"Status":"critical","CheckID":"_node_maintenance"}])").maintenance);
  CHECK(of(proxy, R"([{"Status":"critical","CheckID":"_service_maintenance:p"}])").maintenance);
  CHECK_FALSE(of(proxy, R"([{"Status":"critical","Output":"refused"}])").maintenance);
}

TEST_CASE("health: the apps of a service, with or without a tag") {
  const auto apps = ParseAppInstances(
      R"([{"Node":{"Node":"n"},"Service":{"ID":"a","Tags":["v1","Primary"]}},
          {"Node":{"Node":"n"},"Service":{"ID":"b","Tags":["primary-2"]}},
          {"Node":{"Node":"m"},"Service":{"ID":"a","Tags":null}}])",
      "primary");
  REQUIRE(apps.has_value());
  REQUIRE(apps->size() == 3);
  CHECK(((*apps)[0].node == "n" && (*apps)[0].id == "a" && (*apps)[0].tagged));
  CHECK_FALSE((*apps)[1].tagged);
  CHECK(((*apps)[2].node == "m" && !(*apps)[2].tagged));
  CHECK(ParseAppInstances("[]", "primary")->empty());
  CHECK_FALSE(ParseAppInstances(R"([{"Service":{"Tags":"primary"}}])", "primary").has_value());
}

TEST_CASE("checks: the agent's node is that of any of them") {
  CHECK(*ParseAgentNode(R"({"a":{"CheckID":"a"},"b":{"CheckID":"b","Node":"n1"}})") == "n1");
  CHECK(*ParseAgentNode("{}") == "");
  CHECK(*ParseAgentNode("") == "");
  CHECK_FALSE(ParseAgentNode("[]").has_value());
}

TEST_CASE("query: the service and the datacenter that answered are read") {
  const auto answer = ParseQuery(R"({"Service":"db","Nodes":[)" + kEntry +
                                 R"(],"DNS":{"TTL":""},"Datacenter":"dc2","Failovers":1,
        "KnownLeader":true,"ConsistencyLevel":"stale"})");
  REQUIRE(answer.has_value());
  CHECK(answer->service == "db");
  CHECK(answer->datacenter == "dc2");
  REQUIRE(answer->instances.size() == 1);
  CHECK(answer->instances.front().port == 31800);
}

TEST_CASE("query: an answer without nodes is one, without what makes the identity it is none") {
  CHECK(ParseQuery(R"({"Service":"db","Nodes":[],"Datacenter":"dc1"})")->instances.empty());
  CHECK(ParseQuery(R"({"Service":"db","Nodes":null})")->instances.empty());
  const auto fault = [](const std::string& body) {
    const auto answer = ParseQuery(body);
    return answer.has_value() ? "no error" : answer.error().message;
  };
  CHECK(Mentions(fault(R"({"Nodes":[],"Datacenter":"dc1"})"), "Service is missing"));
  CHECK(Mentions(fault(R"({"Service":"d b","Nodes":[]})"), "Service cannot be part"));
  CHECK(Mentions(fault(R"({"Service":"db","Nodes":[)" + kEntry + "]}"), "Datacenter is missing"));
  CHECK(Mentions(fault(R"({"Service":"db","Datacenter":"a/b","Nodes":[)" + kEntry + "]}"),
                 "Datacenter"));
}

}  // namespace
}  // namespace mooring::authz
