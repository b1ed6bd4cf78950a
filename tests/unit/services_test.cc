// `services` in YAML: several services in one file.
#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "proxy/config/yaml.h"

namespace mooring::config {
namespace {

using std::chrono::milliseconds;

std::vector<std::string> Problems(std::string_view text) {
  std::vector<std::string> problems;
  for (const Problem& problem : ParseYaml(text, "/base", {}).problems)
    problems.push_back(problem.Text("f"));
  return problems;
}

// OneProblem: the text has this one problem and no other.
bool OneProblem(std::string_view text, std::string_view part) {
  const std::vector<std::string> problems = Problems(text);
  std::string all;
  for (const std::string& problem : problems) all += problem + '\n';
  INFO(all);
  CHECK(problems.size() == 1);
  const bool found = problems.size() == 1 && problems[0].find(part) != std::string::npos;
  CHECK(found);
  return found;
}

Settings Good(std::string_view text) {
  const ParsedYaml parsed = ParseYaml(text, "/base", {});
  for (const Problem& problem : parsed.problems) FAIL_CHECK(problem.Text("f"));
  return parsed.settings;
}

constexpr std::string_view kThree = R"(services:
  - service: payment
    public_listener: {address: 0.0.0.0:8443, local_app: 127.0.0.1:9090, handshake_timeout: 3s}
    upstreams: [{service: facebox, listen: 127.0.0.1:8002}]
    register: true
    token_file: payment.token
    idle_timeout: 1h
  - {sidecar_for: web-1, token: secret}
  - {proxy_id: api-1-proxy, on_revoke: keep, tls_groups: [P-256]}
public_listener: {handshake_timeout: 4s, local_connect_timeout: 2s}
idle_timeout: 5m
tls_resumption: off
tls_groups: [P-384, X25519]
no_wait: true
workers: 2
admin: {address: 127.0.0.1:19100}
)";

TEST_CASE("services: each has its own, and what it leaves out from the top level") {
  const Settings settings = Good(kThree);
  REQUIRE(settings.services.size() == 3);
  const ServiceSettings& payment = settings.services[0];
  CHECK(payment.service == "payment");
  CHECK(payment.public_listen->Text() == "0.0.0.0:8443");
  CHECK(payment.handshake_timeout == milliseconds{3'000});
  CHECK(payment.local_connect_timeout == milliseconds{2'000});
  CHECK(payment.upstreams.size() == 1);
  CHECK(payment.register_self);
  CHECK(payment.token_file == "/base/payment.token");
  CHECK(payment.idle_timeout == milliseconds{3'600'000});
  CHECK(payment.tls_groups == std::vector<std::string>{"P-384", "X25519"});
  const ServiceSettings& web = settings.services[1];
  CHECK(web.sidecar_for == "web-1");
  CHECK(web.token == "secret");
  CHECK(web.token_file.empty());
  CHECK(web.handshake_timeout == milliseconds{4'000});
  CHECK(web.idle_timeout == milliseconds{300'000});
  CHECK_FALSE(web.tls_resumption);
  const ServiceSettings& api = settings.services[2];
  CHECK(api.proxy_id == "api-1-proxy");
  CHECK(api.on_revoke == OnRevoke::kKeep);
  CHECK(api.tls_groups == std::vector<std::string>{"P-256"});
  CHECK(settings.workers == 2);
  CHECK_FALSE(settings.wait_for_agent);
  CHECK(settings.admin->port == 19100);
  CHECK(settings.NeedsAgent());
}

TEST_CASE("services: a name or an address that two want is an error that names both") {
  CHECK(OneProblem("services:\n  - {sidecar_for: a}\n  - {sidecar_for: a}\n",
                   "f:3:19: services[1].sidecar_for: \"a\" is what services[0].sidecar_for (line "
                   "2) is called already"));
  CHECK(OneProblem("services:\n  - {sidecar_for: a}\n  - {proxy_id: a}\n",
                   "f:3:16: services[1].proxy_id: \"a\" is what services[0].sidecar_for (line 2) "
                   "is called already"));
  const auto two = [](const std::string& first, const std::string& second) {
    return "services:\n  - {service: a, public_listener: {address: '" + first +
           "', local_app: 127.0.0.1:9}}\n  - {service: b, upstreams: [{service: c, listen: '" +
           second + "'}]}\n";
  };
  for (const char* other : {"127.0.0.1:80", "0.0.0.0:80", "[::]:80", "10.0.0.1:80"}) {
    CHECK(OneProblem(two("0.0.0.0:80", other),
                     "services[1].upstreams[0].listen: \"" + std::string(other) +
                         "\" clashes with services[0].public_listener.address (line 2)"));
    CHECK(OneProblem(two("[::]:80", other),
                     "clashes with services[0].public_listener.address (line 2)"));
  }
  CHECK(OneProblem(two("unix:/run/x", "unix:/run/./x"),
                   "clashes with services[0].public_listener.address"));
  for (const char* other : {"127.0.0.2:80", "[::1]:80", "127.0.0.1:0", "127.0.0.1:81"}) {
    CHECK(Problems(two("127.0.0.1:80", other)).empty());
  }
  CHECK(OneProblem(
      two("127.0.0.1:80", "127.0.0.2:80") + "metrics: {address: 0.0.0.0:80}\n",
      "metrics.address: \"0.0.0.0:80\" clashes with services[0].public_listener.address (line 2)"));
}

TEST_CASE(
    "services: what is one service's cannot stand beside the list, nor what is the process's "
    "within it") {
  const std::string list = "services: [{sidecar_for: a}]\n";
  for (const char* line :
       {"service: b", "proxy_id: b", "sidecar_for: b", "register: true", "register_id: x",
        "advertise: h", "identity: {certificate: c, private_key: k, roots: r}",
        "intentions: {default: deny}", "upstreams: [{service: c, listen: 127.0.0.1:1}]",
        "public_listener: {address: 0.0.0.0:1}", "public_listener: {local_app: a:1}"}) {
    INFO(line);
    CHECK(OneProblem(list + line + "\n",
                     "cannot stand beside services; move it into the one that it belongs to"));
  }
  for (const char* keys : {"workers: 2", "admin: {address: 127.0.0.1:1}", "agent: {stale: true}",
                           "log_json: true", "state_dir: x", "no_wait: true", "services: []"}) {
    INFO(keys);
    CHECK(OneProblem("services: [{sidecar_for: a, " + std::string(keys) + "}]\n",
                     "is the whole process's; write it at the top level of the file"));
  }
  CHECK(OneProblem("token_file: x\nservice: a\nupstreams: [{service: c, listen: 127.0.0.1:1}]\n",
                   "f:1:1: token_file: is not a known key"));
}

TEST_CASE("services: each is checked as a file of one is, with its place in the list") {
  CHECK(OneProblem("services: [{workers_: 1, sidecar_for: a}]\n",
                   "services[0].workers_: is not a known key"));
  CHECK(OneProblem("services: [{idle_timeout: 1h}]\n",
                   "services[0]: one of service, proxy_id and sidecar_for is required"));
  CHECK(OneProblem("services: [{service: a}]\n", "services[0].service: has nothing to do"));
  CHECK(OneProblem("services: [{sidecar_for: a, token: x, token_file: y}]\n",
                   "services[0].token: cannot stand beside token_file"));
  CHECK(OneProblem(
      "services: [{proxy_id: a, upstreams: [{service: c, listen: 127.0.0.1:1}]}]\n",
      "services[0].upstreams: cannot stand beside proxy_id, with which it comes from the agent"));
  CHECK(OneProblem("services: [{sidecar_for: a}, {idle_timeout: 5, sidecar_for: b}]\n",
                   "services[1].idle_timeout: \"5\" is not a duration"));
  CHECK(OneProblem("services: []\n", "services: is an empty list"));
  CHECK(OneProblem("services: {sidecar_for: a}\n", "services: is a mapping; write a list"));
  CHECK(
      OneProblem("services: [{proxy_id: a}]\nno_wait: true\n", "no_wait: belongs to sidecar_for"));
}

}  // namespace
}  // namespace mooring::config
