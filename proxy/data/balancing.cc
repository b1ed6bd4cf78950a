#include "proxy/data/balancing.h"

#include "proxy/data/random_choice.h"
#include "proxy/data/round_robin.h"
#include "proxy/data/sticky.h"
#include "proxy/data/two_choices.h"

namespace mooring::data {

std::unique_ptr<LoadBalancer> MakeBalancer(const UpstreamRules& rules, std::uint64_t seed) {
  switch (rules.balance) {
    case Balance::kLeastConnections: return std::make_unique<LeastConnections>(seed);
    case Balance::kLeastTime: return std::make_unique<LeastTime>(seed);
    case Balance::kRoundRobin: return std::make_unique<RoundRobin>(seed);
    case Balance::kRandom: return std::make_unique<RandomChoice>(seed);
    case Balance::kSticky:
      return std::make_unique<Sticky>(rules.kept ? rules.kept : std::make_shared<Kept>(), seed);
  }
  return nullptr;
}

}  // namespace mooring::data
