// The proxy's registration and the look-up of sidecars.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "authz/consul/api.h"

namespace mooring::authz {
namespace {

bool Mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// As Consul 1.8.7 sends it, after proxy-defaults were merged in.
const std::string kRegistration = R"({"Kind":"connect-proxy","ID":"web-1-sidecar-proxy",
 "Service":"web-sidecar-proxy","Tags":[],"Meta":{},"Port":31801,"Address":"",
 "Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"ContentHash":"5d2ee2f118372b09",
 "Proxy":{"DestinationServiceName":"web","DestinationServiceID":"web-1",
  "LocalServiceAddress":"127.0.0.1","LocalServicePort":18080,
  "Config":{"local_connect_timeout_ms":900,"protocol":"tcp"},
  "Upstreams":[{"DestinationType":"service","DestinationName":"db","LocalBindPort":29191,
    "Config":{"connect_timeout_ms":3000,"protocol":"tcp"},"MeshGateway":{"Mode":"local"}},
   {"DestinationType":"prepared_query","DestinationName":"dbq","LocalBindPort":29192,
    "MeshGateway":{}}],
  "MeshGateway":{"Mode":"remote"},"Expose":{}}})";

// A registration with these fields inside its Proxy.
std::string Registration(const std::string& fields) {
  return R"({"Kind":"connect-proxy","ID":"p","Service":"web-sidecar-proxy","Port":1,)"
         R"("Proxy":{"DestinationServiceName":"web")" +
         fields + "}}";
}

std::string Fault(const std::string& body) {
  const auto proxy = ParseProxy(body);
  return proxy.has_value() ? "no error" : proxy.error().message;
}

TEST_CASE("registration: a proxy of 1.8 is read with its upstreams") {
  const auto proxy = ParseProxy(kRegistration);
  REQUIRE(proxy.has_value());
  CHECK(proxy->id == "web-1-sidecar-proxy");
  CHECK(proxy->address == "");
  CHECK(proxy->port == 31801);
  CHECK(proxy->destination_service == "web");
  CHECK(proxy->local_service_address == "127.0.0.1");
  CHECK(proxy->local_service_port == 18080);
  CHECK(proxy->config == OpaqueConfig{{"local_connect_timeout_ms", "900"}, {"protocol", "tcp"}});
  CHECK_FALSE(proxy->exposes_paths);
  REQUIRE(proxy->upstreams.size() == 2);
  CHECK(proxy->upstreams[0].type == UpstreamType::kService);
  CHECK(proxy->upstreams[0].name == "db");
  CHECK(proxy->upstreams[0].bind_port == 29191);
  CHECK(proxy->upstreams[0].config.at("connect_timeout_ms") == "3000");
  CHECK(proxy->upstreams[0].mesh_gateway_mode == "local");
  CHECK(proxy->upstreams[1].type == UpstreamType::kPreparedQuery);
  CHECK(proxy->upstreams[1].name == "dbq");
  CHECK(proxy->upstreams[1].mesh_gateway_mode == "remote");
}

TEST_CASE("registration: the fields of newer agents are read") {
  const auto proxy = ParseProxy(R"({"Kind":"connect-proxy","ID":"p","Service":"s","Port":"20000",
    "Address":"10.0.0.1","Datacenter":"dc1","PeerName":"","Partition":"default",
    "Namespace":"team","TaggedAddresses":{"lan_ipv4":{"Address":"10.0.0.1","Port":20000}},
    "Proxy":{"DestinationServiceName":"web","LocalServiceSocketPath":"/run/app.sock",
     "Mode":"transparent","TransparentProxy":{"OutboundListenerPort":15001},"EnvoyExtensions":[],
     "AccessLogs":{},"Expose":{"Checks":true},"Upstreams":[
      {"DestinationName":"db","DestinationNamespace":"n","DestinationPartition":"default",
       "DestinationPeer":"c2","Datacenter":"dc2","LocalBindSocketPath":"/run/db.sock",
       "LocalBindSocketMode":"0600","LocalBindAddress":"127.0.0.9"}]}})");
  REQUIRE(proxy.has_value());
  CHECK(proxy->address == "10.0.0.1");
  CHECK(proxy->port == 20000);
  CHECK(proxy->local_service_socket_path == "/run/app.sock");
  CHECK(proxy->mode == "transparent");
  CHECK(proxy->exposes_paths);
  REQUIRE(proxy->upstreams.size() == 1);
  const UpstreamDocument& upstream = proxy->upstreams.front();
  CHECK(upstream.ns == "n");
  CHECK(upstream.partition == "default");
  CHECK(upstream.peer == "c2");
  CHECK(upstream.datacenter == "dc2");
  CHECK(upstream.socket_path == "/run/db.sock");
  CHECK(upstream.socket_mode == "0600");
  CHECK(upstream.bind_address == "127.0.0.9");
  CHECK(upstream.bind_port == 0);
}

TEST_CASE("registration: nulls stand for absent everywhere") {
  const auto proxy = ParseProxy(R"({"Kind":"connect-proxy","ID":"p","Service":"s","Port":null,
    "Address":null,"Tags":null,"Meta":null,"Proxy":{"DestinationServiceName":"web","Config":null,
    "Upstreams":null,"MeshGateway":null,"Expose":{"Paths":null,"Checks":null}}})");
  REQUIRE(proxy.has_value());
  CHECK(proxy->port == 0);
  CHECK(proxy->config.empty());
  CHECK(proxy->upstreams.empty());
  CHECK_FALSE(proxy->exposes_paths);
  CHECK(ParseProxy(Registration(R"(,"Expose":{"Paths":[{"Path":"/"}]})"))->exposes_paths);
}

TEST_CASE("registration: upstream entries that nobody mounts are left out") {
  const auto proxy = ParseProxy(Registration(R"(,"Upstreams":[
    {"DestinationName":"*","LocalBindPort":1},{"DestinationName":"a","CentrallyConfigured":true},
    {"DestinationName":"b","LocalBindPort":0},{"DestinationName":"c","LocalBindPort":3}])"));
  REQUIRE(proxy.has_value());
  REQUIRE(proxy->upstreams.size() == 1);
  CHECK(proxy->upstreams.front().name == "c");
}

TEST_CASE("registration: settings keep their text whatever number type they came in") {
  const auto proxy = ParseProxy(Registration(R"(,"Config":{"a":3000,"b":3000.0,"c":3e3,"d":"3000",
    "e":0.5,"f":true,"g":null,"h":{},"i":[],"Limits":{"max_connections":512,"deep":{"x":"y"}},
    "list":[1,{"k":"v"}],"j":-7,"k":10000000000,"l":""})"));
  REQUIRE(proxy.has_value());
  CHECK(proxy->config == OpaqueConfig{{"a", "3000"},
                                      {"b", "3000"},
                                      {"c", "3000"},
                                      {"d", "3000"},
                                      {"e", "0.5"},
                                      {"f", "true"},
                                      {"Limits.max_connections", "512"},
                                      {"Limits.deep.x", "y"},
                                      {"list.0", "1"},
                                      {"list.1.k", "v"},
                                      {"j", "-7"},
                                      {"k", "10000000000"},
                                      {"l", ""}});
}

TEST_CASE("registration: settings that cannot be told apart or kept are refused") {
  CHECK(Mentions(Fault(Registration(R"(,"Config":{"a":{"b":1},"a.b":2})")),
                 "Proxy.Config.a.b is given twice"));
  CHECK(
      Mentions(Fault(Registration(R"(,"Config":{"a":"x\u0000y"})")), "Proxy.Config.a holds a NUL"));
  CHECK(Mentions(Fault(Registration(R"(,"Config":[1])")),
                 "Proxy.Config must be an object, not a list"));
  CHECK(Mentions(Fault(Registration(R"(,"Config":{")" + std::string(1000, 'k') + R"(":1})")),
                 "too long a name"));
  std::string many = R"(,"Config":{"k":[0)";
  for (int i = 0; i < 5000; ++i) many += ",0";
  CHECK(Mentions(Fault(Registration(many + "]}")), "one setting too many"));
}

TEST_CASE("registration: faults are named by their place") {
  CHECK(Mentions(Fault(R"({"Kind":"","ID":"web-1","Service":"web","Port":8080})"),
                 "Kind of web-1 is \"\", not connect-proxy: give the ID of the sidecar"));
  CHECK(Mentions(Fault(R"({"Kind":"mesh-gateway","ID":"g","Service":"g"})"), "not connect-proxy"));
  CHECK(Mentions(Fault("{}"), "ID is missing"));
  CHECK(Mentions(Fault("null"), "ID is missing"));
  CHECK(Mentions(Fault("[]"), "must be an object, not a list"));
  CHECK(Mentions(Fault(R"({"Kind":"connect-proxy","ID":"p","Service":"s","Proxy":null})"),
                 "Proxy.DestinationServiceName is missing"));
  CHECK(Mentions(Fault(Registration(R"(,"LocalServicePort":65536)")),
                 "Proxy.LocalServicePort must be a port"));
  CHECK(Mentions(Fault(Registration(R"(,"Upstreams":[{"LocalBindPort":1}])")),
                 "Proxy.Upstreams[0].DestinationName is missing"));
  CHECK(
      Mentions(Fault(Registration(R"(,"Upstreams":[{"DestinationName":"a","LocalBindPort":-1}])")),
               "Proxy.Upstreams[0].LocalBindPort must be a port"));
  CHECK(
      Mentions(Fault(Registration(R"(,"Upstreams":[{"DestinationName":"a","LocalBindPort":1,
        "DestinationType":"gateway"}])")),
               "Proxy.Upstreams[0].DestinationType is \"gateway\": use service or prepared_query"));
  CHECK(Mentions(Fault(Registration(R"(,"Upstreams":[{"DestinationName":"a","LocalBindPort":1,
        "LocalBindSocketPath":"/x"}])")),
                 "LocalBindPort are both set"));
}

TEST_CASE("sidecars: those of the service are found, letter case ignored") {
  const std::string services = R"({
    "db-1":{"ID":"db-1","Service":"db","Port":19090},
    "z-proxy":{"Kind":"connect-proxy","ID":"z-proxy","Proxy":{"DestinationServiceID":"db-1"}},
    "a-proxy":{"Kind":"connect-proxy","ID":"a-proxy","Proxy":{"DestinationServiceID":"DB-1"}},
    "web-proxy":{"Kind":"connect-proxy","ID":"web-proxy","Proxy":{"DestinationServiceID":"web-1"}},
    "nameless":{"Kind":"connect-proxy","ID":"nameless","Proxy":{"DestinationServiceName":"db"}},
    "no-id":{"Kind":"connect-proxy","Proxy":{"DestinationServiceID":"solo"}},
    "gateway":{"Kind":"mesh-gateway","ID":"gateway","Proxy":{"DestinationServiceID":"db-1"}}})";
  const auto found = ParseSidecars(services, "Db-1");
  REQUIRE(found.has_value());
  CHECK(found->proxy_ids == std::vector<std::string>{"a-proxy", "z-proxy"});
  CHECK(found->services_seen == 7);
  CHECK(ParseSidecars(services, "db")->proxy_ids.empty());
  CHECK(ParseSidecars(services, "")->proxy_ids.empty());
  CHECK(ParseSidecars(services, "solo")->proxy_ids == std::vector<std::string>{"no-id"});
}

TEST_CASE("sidecars: an empty list says that nothing was seen") {
  for (const char* body : {"{}", "null"}) {
    const auto found = ParseSidecars(body, "db-1");
    REQUIRE(found.has_value());
    CHECK(found->services_seen == 0);
    CHECK(found->proxy_ids.empty());
  }
  CHECK_FALSE(ParseSidecars("[]", "db-1").has_value());
  CHECK_FALSE(ParseSidecars(R"({"a":7})", "db-1").has_value());
}

TEST_CASE("check list: node, the agent's own looks and maintenance of one instance") {
  const std::string body = R"({
    "service:p:1":{"Node":"n1","CheckID":"service:p:1","Status":"critical","ServiceID":"p","Type":"tcp","Interval":"10s"},
    "service:p:2":{"Node":"n1","CheckID":"service:p:2","Status":"passing","ServiceID":"p","Type":"alias"},
    "p-ttl":{"Node":"n1","CheckID":"p-ttl","Status":"critical","ServiceID":"p","Type":"ttl"},
    "service:q":{"Node":"n1","CheckID":"service:q","Status":"passing","ServiceID":"q","Type":"tcp"},
    "_service_maintenance:p":{"Node":"n1","Status":"critical","Notes":"why","ServiceID":"p","Type":"maintenance"}})";
  const auto p = ParseServiceChecks(body, "p");
  REQUIRE(p);
  CHECK(p->node == "n1");
  REQUIRE(p->probes.size() == 1);
  CHECK(p->probes[0].critical);
  CHECK(p->probes[0].interval == "10s");
  REQUIRE(p->maintenance);
  CHECK(*p->maintenance == "why");
  const auto q = ParseServiceChecks(body, "q");
  REQUIRE(q);
  CHECK_FALSE(q->maintenance);
  CHECK(q->probes.size() == 1);
  const auto none = ParseServiceChecks("{}", "p");
  REQUIRE(none);
  CHECK(none->node.empty());
  CHECK_FALSE(ParseServiceChecks("[]", "p"));
}

}  // namespace
}  // namespace mooring::authz
