#include "proxy/config/yaml.h"

#include <doctest/doctest.h>

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/config/yaml_document.h"

namespace mooring::config {
namespace {

using std::chrono::milliseconds;
using Variables = std::map<std::string, std::string>;

std::vector<std::string> Problems(std::string_view text, const Variables& environment = {}) {
  std::vector<std::string> problems;
  for (const Problem& problem : ParseYaml(text, "/base", environment).problems) {
    problems.push_back(problem.Text("f"));
  }
  return problems;
}

Settings Good(std::string_view text, const Variables& environment = {}) {
  const ParsedYaml parsed = ParseYaml(text, "/base", environment);
  for (const Problem& problem : parsed.problems) FAIL_CHECK(problem.Text("f"));
  return parsed.settings;
}

bool Contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// OneProblem: the text has this one problem and no other.
bool OneProblem(std::string_view text, std::string_view part, const Variables& environment = {}) {
  const std::vector<std::string> problems = Problems(text, environment);
  std::string all;
  for (const std::string& problem : problems) all += problem + '\n';
  INFO(all);
  CHECK(problems.size() == 1);
  const bool found = problems.size() == 1 && Contains(problems[0], part);
  CHECK(found);
  return found;
}

// OneInUpstream wraps the keys of one upstream into a file that is otherwise right.
bool OneInUpstream(const std::string& keys, std::string_view part) {
  return OneProblem("service: a\nupstreams: [{" + keys + "}]\n", part);
}

bool OneInListener(const std::string& keys, std::string_view part) {
  return OneProblem("service: a\npublic_listener: {" + keys + "}\n", part);
}

bool OneAtTop(const std::string& lines, std::string_view part) {
  return OneProblem(
      "service: a\npublic_listener: {address: 0.0.0.0:1, local_app: 127.0.0.1:2}\n" + lines, part);
}

constexpr std::string_view kSample = R"(
service: payment
identity: {certificate: leaf.pem, private_key: leaf.key, roots: roots.pem}
public_listener: {address: 0.0.0.0:8443, local_app: 127.0.0.1:9090}
intentions: {default: deny, rules: [{source: api, action: allow}]}
upstreams:
  - {service: facebox, listen: 127.0.0.1:8002, endpoints: [10.0.0.7:8443]}
agent: {address: 127.0.0.1:8500, token_file: /etc/mooring/token}
admin: {address: 127.0.0.1:19100}
)";

TEST_CASE("yaml: a file that holds everything needs no agent") {
  const Settings settings = Good(kSample);
  CHECK(settings.services[0].service == "payment");
  REQUIRE(settings.services[0].identity);
  CHECK(settings.services[0].identity->certificate == "/base/leaf.pem");
  CHECK(settings.services[0].identity->private_key == "/base/leaf.key");
  CHECK(settings.services[0].identity->roots == "/base/roots.pem");
  CHECK(settings.services[0].public_listen->Text() == "0.0.0.0:8443");
  CHECK(settings.services[0].local_app->Text() == "127.0.0.1:9090");
  REQUIRE(settings.services[0].intentions);
  CHECK(settings.services[0].intentions->fallback == authz::DefaultPolicy::kDeny);
  REQUIRE(settings.services[0].intentions->rules.size() == 1);
  CHECK(settings.services[0].intentions->rules[0].source_name == "api");
  CHECK(settings.services[0].intentions->rules[0].destination_name == "payment");
  CHECK(settings.services[0].intentions->rules[0].action == authz::Action::kAllow);
  CHECK(settings.services[0].intentions->rules[0].precedence == 9);
  REQUIRE(settings.services[0].upstreams.size() == 1);
  CHECK(settings.services[0].upstreams[0].name == "facebox");
  CHECK(settings.services[0].upstreams[0].listen.Text() == "127.0.0.1:8002");
  REQUIRE(settings.services[0].upstreams[0].endpoints.size() == 1);
  CHECK(settings.services[0].upstreams[0].endpoints[0].Text() == "10.0.0.7:8443");
  CHECK(settings.agent.token_file == "/etc/mooring/token");
  CHECK(settings.admin->Text() == "127.0.0.1:19100");
  CHECK_FALSE(settings.NeedsAgent());
  CHECK(settings.warnings.empty());
}

TEST_CASE("yaml: whatever the file leaves to the agent needs one") {
  const std::string service = "service: a\n";
  const std::string identity = "identity: {certificate: c, private_key: k, roots: r}\n";
  const std::string listener = "public_listener: {address: 0.0.0.0:1, local_app: 127.0.0.1:2}\n";
  const std::string intentions = "intentions: {}\n";
  const std::string endpoints =
      "upstreams: [{service: b, listen: 127.0.0.1:3, endpoints: [c:1]}]\n";
  CHECK_FALSE(Good(service + identity + listener + intentions + endpoints).NeedsAgent());
  CHECK_FALSE(Good(service + identity + endpoints).NeedsAgent());
  CHECK(Good(service + listener + intentions + endpoints).NeedsAgent());
  CHECK(Good(service + identity + listener + endpoints).NeedsAgent());
  CHECK(Good(service + identity + "upstreams: [{service: b, listen: 127.0.0.1:3}]\n").NeedsAgent());
  CHECK(Good(service + identity + listener + intentions + "register: true\n").NeedsAgent());
  CHECK(Good("proxy_id: a\n").NeedsAgent());
  CHECK(Good("sidecar_for: a\n").NeedsAgent());
}

TEST_CASE("yaml: five mistakes are reported at once, each with its place") {
  const std::vector<std::string> problems = Problems(R"(service: payment
servce: x
public_listener: {address: 0.0.0.0:8443, local_app: 9090}
upstreams:
  - {service: facebox, listen: 127.0.0.1:8002, connect_timeout: 5}
  - {service: facebox, listen: 127.0.0.1:8443}
workers: many
)");
  REQUIRE(problems.size() == 6);
  CHECK(problems[0] == "f:2:1: servce: is not a known key; did you mean service?");
  CHECK(Contains(problems[1], "f:3:53: public_listener.local_app: \"9090\" is not an address"));
  CHECK(Contains(problems[2],
                 "f:5:65: upstreams[0].connect_timeout: \"5\" is not a duration: it has no unit"));
  CHECK(Contains(problems[3], "f:6:15: upstreams[1].service: \"facebox\" is an upstream already"));
  CHECK(Contains(
      problems[4],
      "f:6:32: upstreams[1].listen: \"127.0.0.1:8443\" clashes with public_listener.address"));
  CHECK(Contains(problems[5], "f:7:10: workers: is not a number from 1 to 256"));
}

TEST_CASE("yaml: who we are is said exactly once") {
  CHECK(OneProblem("workers: 1\n", "f: one of service, proxy_id and sidecar_for is required"));
  CHECK(OneProblem("service: a\nproxy_id: b\n", "f:2:11: proxy_id: cannot stand beside service"));
  CHECK(OneProblem("proxy_id: b\nsidecar_for: a\n", "sidecar_for: cannot stand beside proxy_id"));
  CHECK(OneProblem("service: a\n", "f:1:10: service: has nothing to do"));
  CHECK(OneProblem("service: a/b\nupstreams: [{service: b, listen: 127.0.0.1:1}]\n",
                   "service: \"a/b\" holds more than letters"));
  CHECK(Good("proxy_id: b\n").services[0].proxy_id == "b");
  CHECK(Good("sidecar_for: b\n").wait_for_agent);
  CHECK_FALSE(Good("sidecar_for: b\nno_wait: true\n").wait_for_agent);
  CHECK(OneProblem("proxy_id: b\nno_wait: true\n", "no_wait: belongs to sidecar_for"));
}

TEST_CASE("yaml: what the agent holds cannot stand beside a registration") {
  for (const char* line :
       {"identity: {certificate: c, private_key: k, roots: r}", "intentions: {default: deny}",
        "upstreams: [{service: b, listen: 127.0.0.1:1}]", "register: true", "register_id: x",
        "advertise: a", "public_listener: {address: 0.0.0.0:1}",
        "public_listener: {local_app: a:1}"}) {
    CHECK(OneProblem("proxy_id: a\n" + std::string(line) + "\n",
                     "cannot stand beside proxy_id, with which it comes from the agent"));
  }
  const Settings settings =
      Good("sidecar_for: a\npublic_listener: {handshake_timeout: 3s, local_connect_timeout: 4s}\n");
  CHECK(settings.services[0].handshake_timeout == milliseconds{3'000});
  CHECK(settings.services[0].local_connect_timeout == milliseconds{4'000});
}

TEST_CASE("yaml: an unknown key at any depth is refused with the nearest known one") {
  CHECK(
      OneAtTop("log_lvel: INFO\n", "f:3:1: log_lvel: is not a known key; did you mean log_level?"));
  CHECK(OneAtTop("agent: {tokn_file: x}\n",
                 "agent.tokn_file: is not a known key; did you mean token_file?"));
  CHECK(OneAtTop("intentions: {rules: [{source: a, action: deny, why: x}]}\n",
                 "intentions.rules[0].why: is not a known key"));
  CHECK(OneAtTop("admin: {address: 127.0.0.1:9, drain-time: 1s}\n",
                 "admin.drain-time: is not a known key"));
  CHECK(OneAtTop("Workers: 1\n", "did you mean workers?"));
  CHECK(OneAtTop("<<: {workers: 1}\n", "<<: is not a known key"));
}

TEST_CASE("yaml: a key given twice is refused, quoted or not, and its first value counts") {
  CHECK(OneAtTop("workers: 1\nworkers: 2\n", "f:4:1: workers: is given twice, first in line 3"));
  CHECK(OneAtTop("'service': b\n", "f:3:1: service: is given twice, first in line 1"));
  CHECK(OneInListener("address: 0.0.0.0:1, local_app: a:2, address: 0.0.0.0:3",
                      "public_listener.address: is given twice"));
}

TEST_CASE("yaml: a value of the wrong type is refused with the right one") {
  CHECK(OneAtTop("workers: \"2\"\n", "write it without quotes"));
  CHECK(OneAtTop("workers: 2.0\n", "is not a number"));
  CHECK(OneAtTop("workers: 02\n", "is not a number"));
  CHECK(OneAtTop("workers: 0\n", "from 1 to 256"));
  CHECK(OneAtTop("workers: [1]\n", "is not a number"));
  CHECK(OneAtTop("log_json: yes\n", "write true or false"));
  CHECK(OneAtTop("log_json: \"true\"\n", "write true or false"));
  CHECK(OneAtTop("log_level: [INFO]\n", "log_level: is a list; write a single value"));
  CHECK(OneAtTop("log_level: {a: b}\n", "log_level: is a mapping; write a single value"));
  CHECK(OneAtTop("log_level: true\n", "is a boolean; write a text, in quotes"));
  CHECK(OneAtTop("log_level: ''\n", "is empty"));
  CHECK(OneAtTop("log_level: loud\n", "Invalid log level: loud"));
  CHECK(OneAtTop("admin: 127.0.0.1:9\n", "admin: is a single value; write a mapping"));
  CHECK(OneAtTop("upstreams: {service: b}\n", "upstreams: is a mapping; write a list"));
  CHECK(OneAtTop("upstreams: []\n", "upstreams: is an empty list"));
  CHECK(OneAtTop("upstreams: [b]\n", "upstreams[0]: is a single value; write a mapping"));
  CHECK(OneAtTop("upstreams: [[b]]\n", "upstreams[0]: is a list; write a mapping"));
  CHECK(OneInUpstream("service: b, listen: 127.0.0.1:1, endpoints: c:1",
                      "endpoints: is a single value; write a list"));
  CHECK(OneInUpstream("service: b, listen: 127.0.0.1:1, endpoints: [[c]]",
                      "endpoints[0]: is a list"));
  CHECK(OneProblem("- a\n", "f:1:1: the file is a list; write a mapping"));
  CHECK(OneProblem("just words\n", "f:1:1: the file is a single value"));
}

TEST_CASE("yaml: a key without a value is refused where the key stands") {
  CHECK(OneAtTop("admin:\n", "f:3:1: admin: has no value; give it one or leave the key out"));
  CHECK(OneAtTop("workers: ~\n", "f:3:1: workers: has no value"));
  CHECK(OneAtTop("log_level: null\nworkers: 1\n", "f:3:1: log_level: has no value"));
  CHECK(OneAtTop("upstreams:\n  -\n", "upstreams[0]: has no value"));
}

TEST_CASE("yaml: durations need their unit and their sense") {
  CHECK(OneAtTop("drain_time: 30\n", "write 30s for seconds or 30ms for milliseconds"));
  CHECK(OneAtTop("drain_time: 1d\n", "unit \"d\" is unknown"));
  CHECK(OneAtTop("connect_timeout: 0s\n", "connect_timeout: must be longer than 0"));
  CHECK(OneInListener("address: 0.0.0.0:1, local_app: a:2, handshake_timeout: 0",
                      "handshake_timeout: must be longer than 0"));
  const Settings settings = Good(
      "proxy_id: a\nconnect_timeout: 2s\nidle_timeout: 1h\ndrain_delay: 0\ndrain_time: 1m30s\n");
  CHECK(settings.services[0].connect_timeout == milliseconds{2'000});
  CHECK(settings.services[0].idle_timeout == milliseconds{3'600'000});
  CHECK(settings.drain_delay == milliseconds{0});
  CHECK(settings.drain_time == milliseconds{90'000});
}

TEST_CASE("yaml: a public listener needs both of its addresses") {
  CHECK(OneInListener("address: 0.0.0.0:1", "public_listener.local_app: is required"));
  CHECK(OneInListener("local_app: a:1", "public_listener.address: is required"));
  CHECK(OneInListener("address: ':1', local_app: a:1", "the host is missing"));
  CHECK(
      OneInListener("address: 0.0.0.0:1, local_app: a:0", "local_app: \"a:0\" cannot be dialled"));
  CHECK(OneInListener("address: 0.0.0.0:1, local_app: a:2, socket_mode: '0600'",
                      "socket_mode: belongs to an address of unix:/path"));
}

TEST_CASE("yaml: unix sockets count from the file and take a mode") {
  const Settings settings = Good(R"(service: a
public_listener: {address: unix:in.sock, socket_mode: "0666", local_app: unix:/run/app.sock}
upstreams: [{service: b, listen: unix:b.sock}]
)");
  CHECK(settings.services[0].public_listen->path == "/base/in.sock");
  CHECK(settings.services[0].public_listen->mode == 0666);
  CHECK(settings.services[0].local_app->path == "/run/app.sock");
  CHECK(settings.services[0].upstreams[0].listen.path == "/base/b.sock");
  CHECK(settings.services[0].upstreams[0].listen.mode == 0600);
  for (const char* mode : {"600", "'600'", "'0999'", "'01777'", "rw-------", "'0x1f'"}) {
    CHECK(OneInUpstream("service: b, listen: unix:/x, socket_mode: " + std::string(mode),
                        "is not a socket's mode"));
  }
}

TEST_CASE("yaml: identity files go together") {
  CHECK(OneAtTop(
      "identity: {certificate: c, roots: r}\n",
      "identity.private_key: is required: certificate, private_key and roots go together"));
  CHECK(Problems("service: a\nupstreams: [{service: b, listen: 127.0.0.1:1}]\nidentity: {}\n")
            .size() == 3);
}

TEST_CASE("yaml: rules are taken as intentions with Consul's precedence, and deny by default") {
  const Settings settings = Good(R"(service: a
public_listener: {address: 0.0.0.0:1, local_app: 127.0.0.1:2}
intentions: {rules: [{source: '*', action: deny}, {source: api, action: allow}]}
)");
  CHECK(settings.services[0].intentions->fallback == authz::DefaultPolicy::kDeny);
  REQUIRE(settings.services[0].intentions->rules.size() == 2);
  CHECK(settings.services[0].intentions->rules[0].source_name == "*");
  CHECK(settings.services[0].intentions->rules[0].precedence == 8);
  CHECK(settings.services[0].intentions->rules[1].precedence == 9);
}

TEST_CASE("yaml: an intention that says nothing sure is refused") {
  CHECK(
      OneAtTop("intentions: {default: denied}\n", "default: \"denied\" is neither allow nor deny"));
  CHECK(OneAtTop("intentions: {default: Allow}\n", "is neither allow nor deny"));
  CHECK(OneAtTop("intentions: {rules: [{source: b}]}\n", "rules[0].action: is required"));
  CHECK(OneAtTop("intentions: {rules: [{action: deny}]}\n", "rules[0].source: is required"));
  CHECK(OneAtTop("intentions: {rules: [{source: 'b*', action: deny}]}\n",
                 "\"b*\" is neither a service's name nor '*'"));
  CHECK(OneAtTop("intentions: {rules: [{source: b, action: deny}, {source: b, action: allow}]}\n",
                 "rules[1].source: \"b\" has a rule already"));
  CHECK(OneAtTop("intentions: {rules: [{source: *, action: deny}]}\n", "goes into quotes: '*'"));
  CHECK(OneProblem("service: a\nupstreams: [{service: b, listen: 127.0.0.1:1}]\nintentions: {}\n",
                   "intentions: say who may call public_listener, which is not there"));
}

TEST_CASE("yaml: an upstream is read whole") {
  const Settings settings = Good(R"(service: a
upstreams:
  - service: b
    datacenter: dc2
    listen: "[::1]:1"
    endpoints: [10.0.0.7:8443, db.example:1, "[2001:db8::1]:2"]
    spiffe_id: spiffe://x.consul/ns/default/dc/dc2/svc/b
    connect_timeout: 2s
    idle_timeout: 0
  - {query: b, listen: 127.0.0.1:1}
)");
  REQUIRE(settings.services[0].upstreams.size() == 2);
  const UpstreamSettings& upstream = settings.services[0].upstreams[0];
  CHECK(upstream.type == authz::UpstreamType::kService);
  CHECK(upstream.datacenter == "dc2");
  CHECK(upstream.listen.Text() == "[::1]:1");
  CHECK(upstream.endpoints.size() == 3);
  CHECK(upstream.spiffe_id->service == "b");
  CHECK(upstream.connect_timeout == milliseconds{2'000});
  CHECK(upstream.idle_timeout == milliseconds{0});
  CHECK(settings.services[0].upstreams[1].type == authz::UpstreamType::kPreparedQuery);
  CHECK_FALSE(settings.services[0].upstreams[1].connect_timeout);
}

TEST_CASE("yaml: an upstream that cannot work is refused") {
  CHECK(OneInUpstream("listen: 127.0.0.1:1", "upstreams[0]: names neither service nor query"));
  CHECK(OneInUpstream("service: b, query: c, listen: 127.0.0.1:1",
                      "query: cannot stand beside service"));
  CHECK(OneInUpstream("service: b", "upstreams[0].listen: is required"));
  CHECK(OneInUpstream("service: b, listen: ':1'", "write 127.0.0.1:1 for this machine alone"));
  CHECK(OneInUpstream("service: b, listen: 127.0.0.1:1, endpoints: [c:1, c:1]",
                      "endpoints[1]: \"c:1\" is given twice"));
  CHECK(OneInUpstream("service: b, listen: 127.0.0.1:1, endpoints: ['c:0']", "cannot be dialled"));
  CHECK(OneInUpstream("query: b, listen: 127.0.0.1:1, endpoints: ['c:1']",
                      "endpoints: cannot stand beside query"));
  CHECK(OneInUpstream("query: b, listen: 127.0.0.1:1, select: primary",
                      "select: has no use beside query"));
  CHECK(OneInUpstream("service: b, listen: 127.0.0.1:1, endpoints: ['c:1'], select: primary",
                      "select: has no use beside endpoints"));
  CHECK(OneInUpstream("query: b, listen: 127.0.0.1:1, on_departure: close",
                      "on_departure: close has no use beside query"));
  CHECK(OneInUpstream("service: b, listen: 127.0.0.1:1, spiffe_id: 'spiffe://X/y'", "spiffe_id: "));
  CHECK(OneInUpstream("service: b, listen: 127.0.0.1:1, socket_mode: '0600'",
                      "belongs to an address of unix"));
}

TEST_CASE("yaml: on_revoke: quiet needs a grace, wherever either is written") {
  const std::string service = "service: a\nupstreams: [{service: b, listen: '127.0.0.1:1'}]\n";
  const auto problems = Problems(service + "on_revoke: quiet\n");
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].find(":3:") != std::string::npos);
  CHECK(problems[0].find("on_revoke: quiet needs revoke_grace: 30s") != std::string::npos);
  CHECK(Problems(service + "on_revoke: quiet\nrevoke_grace: 30s\n").empty());
  CHECK(Problems(service + "on_revoke: quiet\nrevoke_grace: 0s\n").size() == 1);
  CHECK(Problems("services: [{sidecar_for: a}, {sidecar_for: b, revoke_grace: 1s}]\n"
                 "on_revoke: quiet\n")
            .size() == 1);
}

TEST_CASE("yaml: of the app that goes first one thing is said") {
  const std::string service = "sidecar_for: a\n";
  CHECK(Problems(service + "stop_after: {port: 8080}\nstop_max: 10s\n").empty());
  CHECK(Problems(service + "stop_after: {pid: 1}\n").empty());
  CHECK(Problems(service + "stop_after: {pidfile: app.pid}\n").empty());
  for (const char* wrong : {"{}", "{pid: 1, port: 80}", "{pid: 0}", "{port: 65536}", "{app: 1}"}) {
    CAPTURE(wrong);
    CHECK_FALSE(Problems(service + "stop_after: " + wrong + "\n").empty());
  }
}

TEST_CASE("yaml: no upstream and no listening address is there twice") {
  const auto two = [](const std::string& first, const std::string& second) {
    return Problems("service: a\nupstreams: [{" + first + "}, {" + second + "}]\n");
  };
  CHECK(two("service: b, listen: 127.0.0.1:1", "service: b, listen: 127.0.0.1:2").size() == 1);
  CHECK(two("service: b, listen: 127.0.0.1:1", "service: c, listen: 127.0.0.1:1").size() == 1);
  CHECK(two("service: b, listen: 127.0.0.1:1", "service: c, listen: 0.0.0.0:1").size() == 1);
  CHECK(two("service: b, listen: unix:x", "service: c, listen: unix:/base/x").size() == 1);
  CHECK(two("service: b, listen: 127.0.0.1:1", "service: b, datacenter: dc2, listen: 127.0.0.2:1")
            .empty());
  CHECK(two("service: b, listen: 127.0.0.1:0", "query: b, listen: 127.0.0.1:0").empty());
  CHECK(OneAtTop("metrics: {address: 0.0.0.0:1}\n",
                 "metrics.address: \"0.0.0.0:1\" clashes with public_listener.address"));
}

TEST_CASE("yaml: registration settings belong together") {
  const Settings settings = Good(R"(service: a
public_listener: {address: 0.0.0.0:1, local_app: 127.0.0.1:2}
register: true
register_id: 1
advertise: 2001:db8::7
)");
  CHECK(settings.services[0].register_self);
  CHECK(settings.services[0].register_id == "1");
  CHECK(settings.services[0].advertise == "2001:db8::7");
  CHECK(OneAtTop("register_id: x\n", "register_id: belongs to register: true"));
  CHECK(OneAtTop("register: false\nadvertise: a\n", "advertise: belongs to register: true"));
  CHECK(OneAtTop("register: true\nadvertise: 0.0.0.0\n", "every interface"));
  CHECK(OneAtTop("register: true\nadvertise: a:1\n", "the port is the public listener's"));
  CHECK(OneAtTop("register: maybe\nregister_id: x\n", "register: is not a boolean"));
  CHECK(OneProblem("service: a\nupstreams: [{service: b, listen: 127.0.0.1:1}]\nregister: true\n",
                   "register: needs a public_listener"));
  CHECK(OneProblem(
      "service: a\npublic_listener: {address: unix:/x, local_app: a:1}\nregister: true\n",
      "nobody can dial from elsewhere"));
}

TEST_CASE("yaml: the agent section is read whole") {
  const AgentSettings agent = Good(R"(proxy_id: a
agent:
  address: https://h:8501/prefix
  token_file: token
  ca_file: ca.pem
  client_cert: c.pem
  client_key: /k.pem
  tls_server_name: n
  namespace: ns
  partition: ap
  stale: true
  verify: false
)")
                                  .agent;
  CHECK(agent.https);
  CHECK(agent.address.Text() == "h:8501");
  CHECK(agent.path_prefix == "/prefix");
  CHECK(agent.token_file == "/base/token");
  CHECK(agent.tls.ca_file == "/base/ca.pem");
  CHECK(agent.tls.client_cert == "/base/c.pem");
  CHECK(agent.tls.client_key == "/k.pem");
  CHECK(agent.tls_server_name == "n");
  CHECK(agent.ns == "ns");
  CHECK(agent.partition == "ap");
  CHECK(agent.stale);
  CHECK_FALSE(agent.tls.verify);
  CHECK(Good("proxy_id: a\nagent: {address: unix:agent.sock}\n").agent.address.path ==
        "/base/agent.sock");
}

TEST_CASE("yaml: an agent section that cannot work is refused") {
  CHECK(OneAtTop("agent: {address: 'ftp://x'}\n", "agent.address: Unknown protocol scheme: ftp"));
  CHECK(OneAtTop("agent: {client_cert: x}\n", "both client cert and client key must be provided"));
  CHECK(OneAtTop("agent: {token: x, token_file: y}\n",
                 "agent.token: cannot stand beside token_file"));
  CHECK(OneAtTop("agent: {verify: no}\n", "agent.verify: is not a boolean"));
}

TEST_CASE("yaml: the environment fills in what the agent section leaves out") {
  const Variables environment{{"CONSUL_HTTP_ADDR", "10.0.0.1:1"}, {"CONSUL_HTTP_TOKEN", "t"},
                              {"CONSUL_HTTP_TOKEN_FILE", "f"},    {"CONSUL_CLIENT_CERT", "c"},
                              {"CONSUL_CLIENT_KEY", "k"},         {"CONSUL_NAMESPACE", "n"}};
  const AgentSettings left_out = Good("proxy_id: a\n", environment).agent;
  CHECK(left_out.address.Text() == "10.0.0.1:1");
  CHECK(left_out.token == "t");
  CHECK(left_out.token_file == "f");
  CHECK(left_out.tls.client_key == "k");
  CHECK(left_out.ns == "n");
  const AgentSettings given =
      Good("proxy_id: a\nagent: {address: 127.0.0.1:2, token: own, namespace: m}\n", environment)
          .agent;
  CHECK(given.address.Text() == "127.0.0.1:2");
  CHECK(given.token == "own");
  CHECK(given.token_file.empty());  // it would beat the file's own token
  CHECK(given.ns == "m");
  CHECK(OneProblem("proxy_id: a\nagent: {client_key: x}\n", "both client cert and client key",
                   environment));
}

TEST_CASE("yaml: an environment that nobody needs is not looked at") {
  const Variables broken{{"CONSUL_HTTP_ADDR", "ftp://x"}, {"CONSUL_CLIENT_CERT", "c"}};
  CHECK(Problems(kSample, broken).empty());
  CHECK(OneProblem("proxy_id: a\n", "f: CONSUL_HTTP_ADDR: Unknown protocol scheme",
                   {{"CONSUL_HTTP_ADDR", "ftp://x"}}));
  CHECK(OneProblem("proxy_id: a\n", "f: the agent's settings of the environment: both client cert",
                   {{"CONSUL_CLIENT_CERT", "c"}}));
}

TEST_CASE("yaml: an admin port beyond loopback is a problem that names its cure") {
  CHECK(OneProblem("proxy_id: a\nadmin: {address: 0.0.0.0:2}\n",
                   "f:2:18: admin.address: 0.0.0.0:2 is beyond loopback"));
  CHECK(OneProblem("proxy_id: a\nadmin: {address: vm.example:2}\n", "admin.allow_remote: true"));
  CHECK(Problems("proxy_id: a\nadmin: {address: localhost:2}\n").empty());
  CHECK(Problems("proxy_id: a\nadmin: {address: unix:/run/a}\n").empty());
  const Settings settings = Good("proxy_id: a\nmetrics: {address: 0.0.0.0:2}\n");
  CHECK(settings.metrics->Text() == "0.0.0.0:2");
  CHECK(settings.warnings.empty());
}

TEST_CASE("yaml: exposure beyond loopback is allowed with a warning") {
  const Settings settings = Good(R"(service: a
upstreams: [{service: b, listen: 0.0.0.0:1}]
admin: {address: 0.0.0.0:2, allow_remote: true}
agent: {address: 10.0.0.1:8500}
)");
  CHECK(settings.warnings.size() == 3);
}

TEST_CASE("yaml: what is not YAML is one problem with its place") {
  CHECK(OneProblem("service: a\n\tworkers: 1\n", "f:2:1: this is not YAML: "));
  CHECK(OneProblem("service: a\n\tworkers: 1\n", "indented by a tab; use spaces"));
  CHECK(OneProblem("service: [a\n", "this is not YAML: "));
  CHECK(OneProblem("service: a\npublic_listener: {address: [::1]:80, local_app: a:1}\n",
                   "an address of [v6]:port goes into quotes"));
  CHECK(OneProblem("", "f: the file is empty"));
  CHECK(OneProblem("# only a comment\n", "f: the file is empty"));
  CHECK(OneProblem("service: \xff\n", "f:1:10: the file is not UTF-8 text"));
  CHECK(OneProblem("service: \xc0\xaf\n", "not UTF-8"));
  CHECK(OneProblem("service: \xed\xa0\x80\n", "not UTF-8"));
  CHECK(OneProblem("service: \xe2\x82", "not UTF-8"));
  CHECK(OneProblem(std::string_view("a: \0", 4), "f:1:4: the file is not UTF-8 text"));
  CHECK(OneProblem("\xef\xbb\xbfproxy_id: \"a\\0b\"\n", "holds a NUL byte"));
}

TEST_CASE("yaml: documents, anchors, aliases and tags beyond the plain form are refused") {
  CHECK(OneProblem("proxy_id: a\n---\nproxy_id: b\n---\nproxy_id: c\n",
                   "f:2:1: a second document begins here"));
  // yaml-cpp alone would go on for ever here, one empty document after another.
  CHECK(OneProblem("{proxy_id: a}, b\n", "a second document begins here"));
  CHECK(OneProblem("proxy_id: &a b\n", "f:1:11: anchors (&name) are not supported"));
  CHECK(OneProblem("proxy_id: !!str b\n", "tags (!name) are not supported"));
  const std::vector<std::string> alias = Problems("proxy_id: &a b\nlog_level: *a\n");
  REQUIRE(alias.size() == 2);
  CHECK(Contains(alias[1], "f:2:12: aliases (*name) are not supported"));
  CHECK(OneProblem("proxy_id: a\n? [x]\n: y\n", "a key must be a word"));
  CHECK(Problems("---\nproxy_id: a\n...\n").empty());
}

TEST_CASE("yaml: a file made to exhaust the reader is refused quickly") {
  CHECK(OneProblem(std::string(100'000, '['), "nested more than 16 levels deep"));
  std::string nested;
  for (int i = 0; i < 10'000; ++i) nested += "{a: ";
  CHECK(OneProblem(nested, "nested more than 16 levels deep"));
  CHECK(OneProblem(std::string(kMaxYamlBytes + 1, '#'), "f: the file is larger than 1 MiB"));
  std::string bomb = "a0: &a0 [x]\n";
  for (int i = 1; i < 100; ++i) {
    const std::string last = std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" + last + ", *a" + last +
            "]\n";
  }
  CHECK_FALSE(Problems(bomb).empty());
}

TEST_CASE("yaml: a problem repeats what stands in the file as it is") {
  CHECK(OneProblem("proxy_id: \"\\\x01\"\n", "unknown escape character: \x01"));
}

}  // namespace
}  // namespace mooring::config
