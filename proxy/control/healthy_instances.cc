#include "proxy/control/healthy_instances.h"

#include <algorithm>
#include <utility>

#include "proxy/config/duration.h"

namespace mooring::control {
namespace {

net::milliseconds Trust(const authz::Instance& instance) {
  const auto told = config::ParseDuration(instance.check_interval);
  const net::milliseconds interval = told ? *told : HealthyInstances::kInterval;
  return std::min(interval, HealthyInstances::kMostInterval) + HealthyInstances::kBit;
}

}  // namespace

std::vector<authz::Instance> HealthyInstances::Take(const std::vector<authz::Instance>& listed,
                                                    net::MonotonicTime now) {
  std::vector<authz::Instance> healthy;
  const auto before = std::exchange(tried_, {});
  next_.reset();
  for (const authz::Instance& instance : listed) {
    Key key{instance.node, instance.id, instance.address, instance.port};
    if (Spares(instance)) continue;
    if (!instance.critical) {
      tried_[std::move(key)] = std::nullopt;
      healthy.push_back(instance);
      continue;
    }
    const auto known = before.find(key);
    if (!instance.undecided || known == before.end()) continue;
    const net::MonotonicTime since = known->second.value_or(now);
    const net::MonotonicTime until = since + Trust(instance);
    if (now >= until) continue;
    next_ = next_ ? std::min(*next_, until) : until;
    tried_[std::move(key)] = since;
    healthy.push_back(instance);
  }
  return healthy;
}

}  // namespace mooring::control
