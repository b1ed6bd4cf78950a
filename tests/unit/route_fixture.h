// An upstream's route at a scripted agent, with time as an argument: a chain, and who is healthy of
// each of its targets.
#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "proxy/control/upstream_route.h"
#include "tests/unit/failing_new.h"
#include "tests/unit/state_fixture.h"
#include "tests/unit/upstream_fixture.h"

namespace mooring::test {

inline constexpr char kChainPath[] = "/v1/discovery-chain/db";
inline constexpr char kChainWaits[] = "/v1/discovery-chain/db?index=";
inline constexpr char kSubsetFilter[] = "Service.Meta.version == 1";

// ChainTo is a target of a chain, as Consul 1.21 names them.
struct ChainTo {
  std::string service;
  std::string datacenter = "dc1";
  std::string subset{};
  std::string ns = "default";
  std::string peer{};
  bool only_passing = false;

  std::string Id() const {
    return (subset.empty() ? "" : subset + ".") + service + "." + ns + ".default." +
           (peer.empty() ? datacenter : "external." + peer);
  }
  nlohmann::json Json() const {
    nlohmann::json target = {{"ID", Id()},
                             {"Service", service},
                             {"ServiceSubset", subset},
                             {"Namespace", ns},
                             {"Partition", "default"},
                             {"Peer", peer},
                             {"Datacenter", peer.empty() ? datacenter : ""},
                             {"MeshGateway", nlohmann::json::object()},
                             {"Subset", nlohmann::json::object()},
                             {"SNI", (subset.empty() ? "" : subset + ".") + service + "." + ns +
                                         "." + datacenter + ".internal.td.consul"}};
    if (!subset.empty()) target["Subset"]["Filter"] = kSubsetFilter;
    if (only_passing) target["Subset"]["OnlyPassing"] = true;
    return target;
  }
};

// ChainOf is the chain of db, to these in that order.
inline std::string ChainOf(const std::vector<ChainTo>& targets, const std::string& timeout = "5s") {
  const std::string start = "resolver:" + targets.front().Id();
  nlohmann::json chain = {{"ServiceName", "db"}, {"Namespace", "default"}, {"Datacenter", "dc1"},
                          {"Protocol", "tcp"},   {"StartNode", start},     {"Targets", {}}};
  nlohmann::json resolver = {{"ConnectTimeout", timeout}, {"Target", targets.front().Id()}};
  for (std::size_t i = 0; i < targets.size(); ++i) {
    chain["Targets"][targets[i].Id()] = targets[i].Json();
    if (i > 0) resolver["Failover"]["Targets"].push_back(targets[i].Id());
  }
  chain["Nodes"][start] = {
      {"Type", "resolver"}, {"Name", targets.front().Id()}, {"Resolver", resolver}};
  return nlohmann::json{{"Chain", chain}}.dump();
}

inline std::string BeyondChain(const std::string& type) {
  const std::string start = type + ":db.default.default";
  nlohmann::json chain = {
      {"ServiceName", "db"}, {"Datacenter", "dc1"}, {"StartNode", start}, {"Targets", {}}};
  chain["Nodes"][start] = {{"Type", type}, {"Name", "db.default.default"}};
  return nlohmann::json{{"Chain", chain}}.dump();
}

// RouteWorld is an upstream db at an agent. `chain` is what it says of the chain, `health` of the
// instances by what follows /v1/health/connect/ in the question: "db", "db?dc=dc2". It never
// answers where it has nothing.
struct RouteWorld {
  using Set = std::function<void(config::UpstreamSettings*)>;

  explicit RouteWorld(std::string first_chain, const Set& set = {})
      : chain(std::move(first_chain)) {
    settings.name = "db";
    if (set) set(&settings);
    route = std::make_unique<control::UpstreamRoute>(here.loop, here.log, here.agent.get(),
                                                     settings, std::chrono::seconds(5),
                                                     std::chrono::seconds(0), memory, [this] {
                                                       if (route) heard.push_back(Goes());
                                                     });
    route->SetOwnIdentity("td.consul", kOwn);
  }
  // Listed is these ports as healthy instances of `service`.
  static std::string Listed(const std::vector<int>& ports, const std::string& service = "db") {
    nlohmann::json list = nlohmann::json::array();
    for (const int port : ports) list.push_back(Instance(port, service));
    return list.dump();
  }
  void List(const std::string& key, const std::vector<int>& ports) {
    health[key] = Ok(Listed(ports, key.substr(0, key.find('?'))), Index(++index));
  }
  // Goes is where a connection goes, as ports; "?" while that is not known.
  std::string Goes() const {
    const auto rules = route->Rules();
    std::string text = rules->known ? "" : "?";
    for (const data::Endpoint& endpoint : rules->endpoints)
      text += (text.empty() ? "" : ",") + std::to_string(endpoint.address.port());
    return text;
  }
  void Await(const std::function<bool()>& done) { clock.RunUntil(here.loop, done); }
  void AwaitGoes(const std::string& ports) {
    CAPTURE(ports);
    Await([&] { return Goes() == ports; });
  }
  void Pass(net::milliseconds time) {
    bool over = false;
    net::Timer timer(here.loop, [&] { over = true; });
    timer.Start(time);
    Await([&] { return over; });
  }
  // Waits is how the blocking query for those instances begins.
  static std::string Waits(const std::string& key) {
    return "/v1/health/connect/" + key + (key.find('?') == std::string::npos ? "?" : "&") +
           "index=";
  }
  std::size_t AskedFor(const std::string& key) const {
    return here.desk.Asked("/v1/health/connect/" + key);
  }
  // Tell lists other instances, to who waits for a change.
  void Tell(const std::string& key, const std::vector<int>& ports) {
    std::size_t& before = told[key];
    Await([&] { return here.desk.Asked(Waits(key)) > before; });
    before = here.desk.Asked(Waits(key));
    List(key, ports);
    here.desk.Say(Waits(key), health[key]);
  }
  // Chained is another chain; it has been taken up once it has been asked for twice more.
  void Chained(const std::string& answer) {
    chain = answer;
    const std::size_t before = here.desk.Asked(kChainPath);
    Await([&] { return here.desk.Asked(kChainPath) >= before + 2; });
  }
  // TellChain is another chain, to who waits for a change of it.
  void TellChain(const std::string& answer) {
    Await([&] { return here.desk.Asked(kChainWaits) > chains_told; });
    chains_told = here.desk.Asked(kChainWaits);
    chain = answer;
    here.desk.Say(kChainWaits, answer);
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& target : route->Targets()) names.push_back(target.name);
    return names;
  }
  std::vector<bool> Followed() const {
    std::vector<bool> followed;
    for (const auto& target : route->Targets()) followed.push_back(target.followed);
    return followed;
  }
  std::size_t Said(const std::string& text) {
    REQUIRE(here.log.Flush(std::chrono::seconds(10)));
    return lines.Count(text);
  }

  StandardError lines;
  Clock clock;
  std::string chain;
  std::map<std::string, std::string> health;
  std::map<std::string, std::size_t> told;
  std::size_t chains_told = 0;
  int index = 10;
  // of the allocations after the chain's next answer, the one that fails; 0: none
  std::size_t fail_at = 0;
  std::vector<std::string> heard;
  config::UpstreamSettings settings;
  const std::shared_ptr<data::UpstreamMemory> memory = std::make_shared<data::UpstreamMemory>();
  AtDesk here{[this](const std::string& target) {
                if (Blocks(target)) return std::string();
                if (target.starts_with(kChainPath)) {
                  const std::string answer = chain;
                  if (fail_at > 0) FailingNew::Arm(std::exchange(fail_at, 0), 1);
                  return answer;
                }
                const std::string prefix = "/v1/health/connect/";
                const auto found =
                    health.find(target.starts_with(prefix) ? target.substr(prefix.size()) : target);
                return found == health.end() ? std::string() : found->second;
              },
              log::Level::kInfo};
  std::unique_ptr<control::UpstreamRoute> route;
};

}  // namespace mooring::test
