#include "proxy/control/departures.h"

#include <utility>

namespace mooring::control {
namespace {

std::string WhyLeft(const authz::Instance& instance, const Departures::Chosen& chosen,
                    const std::string& wanted) {
  if (instance.maintenance) return "it is in maintenance";
  if (instance.critical && !instance.undecided) return "its checks are critical";
  if (chosen && !chosen(instance)) return "it has no tag " + wanted + " any more";
  return {};
}

}  // namespace

void Departures::Say(Member& member, std::string why, net::MonotonicTime now) {
  if (member.why.empty() != why.empty()) member.since = now;
  member.why = std::move(why);
}

std::shared_ptr<const data::Departed> Departures::Take(const std::vector<authz::Instance>& listed,
                                                       const Chosen& chosen,
                                                       const std::string& wanted,
                                                       bool absence_counts,
                                                       net::MonotonicTime now) {
  InstanceKeys seen;
  for (const authz::Instance& instance : listed) {
    InstanceKey key{instance.node, instance.id};
    std::string why = WhyLeft(instance, chosen, wanted);
    seen.insert(key);
    if (const auto known = members_.find(key); known != members_.end()) {
      Say(known->second, std::move(why), now);
    } else if (why.empty()) {
      members_[std::move(key)].since = now;
    }
  }
  InstanceKeys in;
  for (auto& [key, member] : members_) {
    if (absence_counts && !seen.contains(key)) Say(member, "the catalog lists it no more", now);
    if (member.why.empty()) in.insert(key);
  }
  const InstanceKeys stay = damper_.Take(in, now);
  auto departed = std::make_shared<data::Departed>();
  for (auto member = members_.begin(); member != members_.end();) {
    const bool left = !stay.contains(member->first);
    if (left && now - member->second.since >= remember_) {
      member = members_.erase(member);
      continue;
    }
    if (left) departed->why.emplace(member->first, member->second.why);
    ++member;
  }
  if (departed->why.empty()) return nullptr;
  return departed;
}

}  // namespace mooring::control
