// What a decision costs, and what the agent's documents cost to read.
#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "authz/consul/api.h"
#include "authz/intention.h"
#include "authz/spiffe.h"
#include "bench/micro.h"
#include "bench/micro_certificates.h"

namespace mooring::bench {
namespace {

using authz::DefaultPolicy;

constexpr std::size_t kCallers = 64;
constexpr std::size_t kInstances = 500;

// Five digits, so that the order of the names is that of the numbers.
std::string Named(std::size_t number) {
  std::string digits = std::to_string(number);
  return "service-" + std::string(5 - std::min<std::size_t>(digits.size(), 5), '0') + digits;
}

authz::Intention Allow(const std::string& source) {
  authz::Intention rule;
  rule.source_name = source;
  rule.destination_name = "db";
  rule.action = authz::Action::kAllow;
  return rule;
}

// Rules are `count` of them, each for another caller; with a wildcard the last is for everybody.
std::shared_ptr<const authz::IntentionSet> Rules(std::size_t count, bool wildcard) {
  std::vector<authz::Intention> rules;
  for (std::size_t i = 0; i < count; ++i)
    rules.push_back(Allow(wildcard && i + 1 == count ? "*" : Named(i)));
  return std::make_shared<const authz::IntentionSet>(std::move(rules));
}

Benchmark Decide(const std::string& name, std::shared_ptr<const authz::IntentionSet> rules,
                 std::vector<authz::ServiceId> callers, bool by_default) {
  return Simple(
      name, 0, [rules = std::move(rules), callers = std::move(callers), by_default](std::size_t i) {
        const authz::Decision decision =
            rules->Decide(callers[i % callers.size()], DefaultPolicy::kDeny);
        Require(decision.allowed != by_default && decision.by_default == by_default,
                "a wrong decision");
      });
}

void AddDecisions(std::vector<Benchmark>& all, std::size_t count) {
  const std::string name = "decide/rules=" + std::to_string(count);
  // Callers spread evenly over the list: a hit costs what it costs on the average.
  std::vector<authz::ServiceId> known;
  for (std::size_t i = 0; i < kCallers; ++i)
    known.push_back(Service(Named((2 * i + 1) * count / (2 * kCallers))));
  const std::vector<authz::ServiceId> stranger = {Service("stranger")};
  all.push_back(Decide(name + "/hit", Rules(count, false), known, false));
  all.push_back(Decide(name + "/miss", Rules(count, false), stranger, true));
  all.push_back(Decide(name + "/wildcard", Rules(count, true), stranger, false));
}

// An entry with the fields of a real agent's answer.
std::string HealthEntry(std::size_t number) {
  const std::string n = std::to_string(number);
  const std::string address =
      "10." + std::to_string(number / 250) + ".0." + std::to_string(number % 250 + 1);
  return R"({"Node":{"ID":"8f6c0a3e-5c1b-4d6e-9f1e-0000000)" + n + R"(","Node":"vm-)" + n +
         R"(","Address":")" + address + R"(","Datacenter":"dc1","TaggedAddresses":{"lan":")" +
         address + R"(","wan":")" + address +
         R"("},"Meta":{"consul-network-segment":""},"CreateIndex":11,"ModifyIndex":12},)" +
         R"("Service":{"Kind":"connect-proxy","ID":"db-)" + n +
         R"(-sidecar-proxy","Service":"db-sidecar-proxy",)" + R"("Tags":[],"Address":")" + address +
         R"(","TaggedAddresses":{"lan_ipv4":{"Address":")" + address +
         R"(","Port":21000}},"Meta":null,"Port":21000,"Weights":{"Passing":1,"Warning":1},)" +
         R"("EnableTagOverride":false,"Proxy":{"DestinationServiceName":"db","DestinationServiceID":"db-)" +
         n +
         R"(","LocalServiceAddress":"127.0.0.1","LocalServicePort":5432,"Config":{"protocol":"tcp"},)" +
         R"("MeshGateway":{},"Expose":{}},"Connect":{},"CreateIndex":20,"ModifyIndex":20},)" +
         R"("Checks":[{"Node":"vm-)" + n +
         R"(","CheckID":"serfHealth","Name":"Serf Health Status",)" +
         R"("Status":"passing","Notes":"","Output":"Agent alive and reachable","ServiceID":"","ServiceName":""},)" +
         R"({"Node":"vm-)" + n + R"(","CheckID":"service:db-)" + n + R"(-sidecar-proxy:1",)" +
         R"("Name":"Connect Sidecar Listening","Status":"passing","Notes":"","Output":"TCP connect: Success",)" +
         R"("ServiceID":"db-sidecar-proxy","ServiceName":"db-sidecar-proxy"}]})";
}

std::string HealthAnswer() {
  std::string body = "[";
  for (std::size_t i = 0; i < kInstances; ++i) body += (i == 0 ? "" : ",") + HealthEntry(i);
  return body + "]";
}

}  // namespace

std::vector<Benchmark> AuthzBenchmarks() {
  std::vector<Benchmark> all;
  for (const std::size_t count : {1U, 10U, 100U, 1000U, 10000U}) AddDecisions(all, count);

  const std::string good = Service("web").Uri();
  all.push_back(Simple("spiffe/valid", 0, [good](std::size_t) {
    Require(authz::ParseServiceId(good).has_value(), "a good SPIFFE ID was refused");
  }));
  const std::string bad = good + "/";
  all.push_back(Simple("spiffe/refused", 0, [bad](std::size_t) {
    Require(!authz::ParseServiceId(bad).has_value(), "a bad SPIFFE ID was taken");
  }));
  const std::string body = HealthAnswer();
  all.push_back(Simple("instances/500", body.size(), [body](std::size_t) {
    const auto instances = authz::ParseInstances(body);
    Require(instances && instances->size() == kInstances, "the health answer was not read");
  }));
  return all;
}

}  // namespace mooring::bench
