// Balance: by which rule a balancer chooses (balancing.h makes one of each).
#pragma once

namespace mooring::data {

enum class Balance { kLeastConnections, kLeastTime, kRoundRobin, kRandom, kSticky };

}  // namespace mooring::data
