#include "proxy/data/preference.h"

#include "proxy/data/outliers.h"

namespace mooring::data {
namespace {

// Part is how many endpoints of one nearness there are.
struct Part {
  std::size_t known = 0;
  std::size_t in_service = 0;
};

}  // namespace

Preference Prefer(const UpstreamRules& rules) {
  std::array<Part, kNearnesses> parts{};
  std::size_t in_service = 0;
  for (const Endpoint& endpoint : rules.endpoints) {
    Part& part = parts[static_cast<std::size_t>(endpoint.nearness)];
    ++part.known;
    if (!InService(rules, endpoint)) continue;
    ++part.in_service;
    ++in_service;
  }
  const Preference all{rules.endpoints.size(), in_service == 0};
  if (rules.prefer_near == 0 || in_service == 0) return all;
  std::size_t near = 0, listed = 0, left = 0;
  for (const Nearness nearness : {Nearness::kNode, Nearness::kZone}) {
    const auto i = static_cast<std::size_t>(nearness);
    near += parts[i].known;
    listed += rules.listed[i] == 0 ? parts[i].known : rules.listed[i];
    left += parts[i].in_service;
    if (left > 0 && left * 100 >= listed * rules.prefer_near) return {near, false};
  }
  return all;
}

}  // namespace mooring::data
