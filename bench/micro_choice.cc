// What it costs to choose an endpoint, by each rule and from lists of several sizes.
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/micro.h"
#include "proxy/data/balancing.h"
#include "proxy/data/upstream.h"
#include "proxy/data/upstream_memory.h"

namespace mooring::bench {
namespace {

constexpr net::MonotonicTime kNow{std::chrono::hours(1)};

// Chosen is an upstream of so many endpoints, every other one ejected or none.
struct Chosen {
  Chosen(data::Balance balance, std::size_t count, bool half_ejected) {
    auto next = std::make_shared<data::UpstreamRules>();
    next->balance = balance;
    for (std::size_t i = 0; i < count; ++i) {
      data::Endpoint endpoint;
      endpoint.address = *net::SocketAddress::FromLiteral(
          net::Address::Tcp("10.0." + std::to_string(i / 256) + "." + std::to_string(i % 256), 1));
      next->endpoints.push_back(std::move(endpoint));
    }
    memory.histories.Attach(&next->endpoints);
    next->outliers = memory.outliers;
    next->kept = memory.kept;
    for (std::size_t i = 0; half_ejected && i < count; i += 2)
      next->endpoints[i].history->ejection().Begin(1, kNow, kNow + std::chrono::seconds(30));
    upstream.emplace(data::MakeBalancer(*next, 1), next, 1);
  }
  void Choose() {
    data::Choice choice;
    std::optional<data::Lease> lease;
    upstream->Pick(choice, kNow, &lease);
    Require(lease.has_value(), "an endpoint is chosen");
  }

  data::UpstreamMemory memory;
  std::optional<data::Upstream> upstream;
};

}  // namespace

std::vector<Benchmark> ChoiceBenchmarks() {
  std::vector<Benchmark> all;
  const auto add = [&all](const std::string& rule, data::Balance balance, std::size_t count,
                          bool half_ejected) {
    auto chosen = std::make_shared<Chosen>(balance, count, half_ejected);
    all.push_back(Simple(
        "choose/" + rule + "/" + std::to_string(count) + (half_ejected ? "-half-ejected" : ""), 0,
        [chosen](std::size_t) { chosen->Choose(); }));
  };
  for (const auto& [rule, balance] :
       {std::pair{"least_connections", data::Balance::kLeastConnections},
        {"least_time", data::Balance::kLeastTime},
        {"round_robin", data::Balance::kRoundRobin},
        {"random", data::Balance::kRandom},
        {"sticky", data::Balance::kSticky}}) {
    for (const std::size_t count :
         {std::size_t{5}, std::size_t{100}, std::size_t{500}, std::size_t{5000}})
      add(rule, balance, count, false);
    add(rule, balance, 5'000, true);
  }
  return all;
}

}  // namespace mooring::bench
