#include "proxy/observe/carry.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace mooring::observe {
namespace {

const Family* Find(std::string_view name) {
  const auto all = Families();
  const auto found =
      std::find_if(all.begin(), all.end(), [name](const Family* one) { return one->name == name; });
  return found == all.end() ? nullptr : *found;
}

}  // namespace

bool IsCarried(const Family& family) {
  static const std::array kGauges{&family::kOpen, &family::kEndpointInFlight,
                                  &family::kEnvoyClusterOpen, &family::kEnvoyTcpReceivedKept,
                                  &family::kEnvoyTcpSentKept};
  return family.kind != Kind::kGauge ||
         std::find(kGauges.begin(), kGauges.end(), &family) != kGauges.end();
}

Counts Changed(const Counts& before, const Counts& now) {
  Counts changed;
  for (const auto& [family, samples] : now) {
    const auto old = before.find(family);
    for (const auto& [sample, value] : samples) {
      if (old != before.end()) {
        const auto found = old->second.find(sample);
        if (found != old->second.end() && found->second == value) continue;
      }
      changed[family][sample] = value;
    }
  }
  return changed;
}

void Carried::Add(const std::string& family, const std::string& sample, double value) {
  sum_[family][sample] += value;
}

void Carried::Take(std::int64_t process, const Counts& changed) {
  for (const auto& [name, samples] : changed) {
    const Family* const family = Find(name);
    if (family == nullptr || !IsCarried(*family)) continue;
    for (const auto& [sample, value] : samples) {
      double& said = said_[process][name][sample];
      Add(name, sample, value - said);
      said = value;
    }
  }
}

void Carried::Forget(std::int64_t process) {
  const auto said = said_.find(process);
  if (said == said_.end()) return;
  for (const auto& [name, samples] : said->second) {
    const Family* const family = Find(name);
    if (family == nullptr || family->kind != Kind::kGauge) continue;
    for (const auto& [sample, value] : samples) Add(name, sample, -value);
  }
  said_.erase(said);
}

Counts Carried::Ended() const {
  Counts ended = sum_;
  for (const auto& [process, families] : said_) {
    for (const auto& [name, samples] : families) {
      for (const auto& [sample, value] : samples) ended[name][sample] -= value;
    }
  }
  return ended;
}

const std::map<std::string, double>* Carried::Of(const Family& family) const {
  const auto found = sum_.find(std::string_view(family.name));
  return found == sum_.end() ? nullptr : &found->second;
}

}  // namespace mooring::observe
