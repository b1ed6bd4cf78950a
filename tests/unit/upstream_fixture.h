// An upstream's source at a scripted agent, with time as an argument.
#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "proxy/control/upstream_source.h"
#include "tests/unit/agent_desk.h"
#include "tests/unit/test_clock.h"

namespace mooring::test {

inline constexpr char kHealth[] = "/v1/health/connect/db";
inline constexpr char kTags[] = "/v1/health/service/db";
inline constexpr char kQuery[] = "/v1/query/db/execute";
inline constexpr net::milliseconds kSlack{1'000};  // of the machine, whose time passes as well
inline const authz::ServiceId kOwn{"td.consul", "", "default", "dc1", "web"};

inline nlohmann::json Instance(int port, const std::string& service = "db") {
  return {{"Node", {{"Node", "n1"}, {"Address", "127.0.0.1"}, {"Datacenter", "dc1"}}},
          {"Service",
           {{"Kind", "connect-proxy"},
            {"ID", "db-" + std::to_string(port)},
            {"Port", port},
            {"Proxy",
             {{"DestinationServiceName", service},
              {"DestinationServiceID", "app-" + std::to_string(port)}}}}},
          {"Checks", nlohmann::json::array()}};
}

inline std::string List(const std::vector<int>& ports) {
  nlohmann::json list = nlohmann::json::array();
  for (const int port : ports) list.push_back(Instance(port));
  return list.dump();
}

// UpstreamWorld is an upstream at an agent that says `answer` where it is not asked to wait.
struct UpstreamWorld {
  explicit UpstreamWorld(const std::function<void(config::UpstreamSettings*)>& set = {}) {
    config::UpstreamSettings settings;
    settings.name = "db";
    if (set) set(&settings);
    source = std::make_unique<control::UpstreamSource>(
        here.loop, here.log, here.agent.get(), settings,
        control::UpstreamSource::Target{.service = settings.name,
                                        .datacenter = settings.datacenter},
        std::chrono::seconds(5), std::chrono::seconds(0), std::make_shared<data::UpstreamMemory>(),
        [this] { ++changes; });
    source->Start();
  }
  std::vector<int> Ports() const {
    std::vector<int> ports;
    for (const data::Endpoint& endpoint : source->Rules()->endpoints)
      ports.push_back(endpoint.address.port());
    return ports;
  }
  void Await(const std::function<bool()>& done) { clock.RunUntil(here.loop, done); }
  void AwaitPorts(const std::vector<int>& ports) {
    Await([&] { return source->Rules()->known && Ports() == ports; });
  }
  void Pass(net::milliseconds time) {
    bool over = false;
    net::Timer timer(here.loop, [&] { over = true; });
    timer.Start(time);
    Await([&] { return over; });
  }
  // Tell ends the wait for a change by this answer, once somebody waits.
  void Tell(const std::string& text, const std::string& path = kHealth) {
    const std::string waits = path + "?index=";
    std::size_t& before = told[path];
    Await([&] { return here.desk.Asked(waits) > before; });
    before = here.desk.Asked(waits);
    here.desk.Say(path, text);
  }

  Clock clock;
  std::string answer = Ok(List({1}), Index(7));
  std::string tags = Ok("[]", Index(7));
  int changes = 0;
  std::map<std::string, std::size_t> told;
  AtDesk here{[this](const std::string& target) {
    if (Blocks(target)) return std::string();
    return target.starts_with(kTags) ? tags : answer;
  }};
  std::unique_ptr<control::UpstreamSource> source;
};

}  // namespace mooring::test
