#include "proxy/control/tagged_instances.h"

#include <algorithm>

namespace mooring::control {

void TaggedInstances::Note(const std::vector<authz::AppInstance>& apps,
                           const Absence::Answer& answer, net::MonotonicTime now) {
  known_ = true;
  absence_.Note(answer, now);
  for (auto& [key, app] : apps_) app.present = false;
  for (const authz::AppInstance& app : apps) apps_[{app.node, app.id}] = {app.tagged, true};
  Settle(now);
}

void TaggedInstances::Settle(net::MonotonicTime now) {
  if (absence_.Counts(now))
    std::erase_if(apps_, [](const auto& app) { return !app.second.present; });
  InstanceKeys tagged;
  for (const auto& [key, app] : apps_) {
    if (app.tagged) tagged.insert(key);
  }
  in_force_ = damper_.Take(tagged, now);
}

std::optional<net::MonotonicTime> TaggedInstances::Next(net::MonotonicTime now) const {
  const auto damped = damper_.Next();
  const auto absent = absence_.Next(now);
  return damped && absent ? std::min(*damped, *absent) : damped ? damped : absent;
}

bool TaggedInstances::Has(const authz::Instance& instance) const {
  if (!instance.app_id.empty()) return in_force_.contains({instance.node, instance.app_id});
  const auto of_node = apps_.lower_bound({instance.node, std::string()});
  if (of_node == apps_.end() || of_node->first.first != instance.node) return false;
  const auto next = std::next(of_node);
  const bool alone = next == apps_.end() || next->first.first != instance.node;
  return alone && in_force_.contains(of_node->first);
}

}  // namespace mooring::control
