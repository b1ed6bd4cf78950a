// The balancer of each rule (balance.h).
#pragma once

#include <cstdint>
#include <memory>

#include "proxy/data/load_balancer.h"
#include "proxy/data/snapshot.h"

namespace mooring::data {

// MakeBalancer makes the one that these rules ask for. It has no list yet. What it does by chance
// begins at `seed`.
std::unique_ptr<LoadBalancer> MakeBalancer(const UpstreamRules& rules, std::uint64_t seed);

}  // namespace mooring::data
