#include "proxy/control/own_place.h"

#include <utility>

#include "authz/text.h"

namespace mooring::control {
namespace {

constexpr net::milliseconds kPoll{300'000};
// Before there is a first check, ours perhaps.
constexpr net::milliseconds kPollUnknown{15'000};

Watch::Options PollOf(const char* name, std::string path, net::milliseconds interval) {
  Watch::Options options;
  options.name = name;
  options.path = std::move(path);
  options.blocking = Watch::Blocking::kNone;
  options.poll_interval = interval;
  options.keep = false;
  options.needs = "node:read";
  options.is_absent = [](const http::Response& response) {
    return response.status == 404 || response.status == 403;
  };
  return options;
}

// SameZone: zones are named within a region, which node Meta does not tell.
bool SameZone(const authz::Locality& one, const authz::Locality& other) {
  if (one.zone.empty() || one.zone != other.zone) return false;
  return one.region == other.region || one.region.empty() || other.region.empty();
}

}  // namespace

data::Nearness NearnessOf(const authz::Instance& instance, const Place& place,
                          const std::string& datacenter) {
  if (instance.datacenter != datacenter) return data::Nearness::kFar;
  if (!place.node.empty() && instance.node == place.node) return data::Nearness::kNode;
  return SameZone(instance.locality, place.locality) ? data::Nearness::kZone : data::Nearness::kFar;
}

OwnPlace::OwnPlace(net::Loop& loop, log::Log& log, Agent& agent, std::function<void()> on_change)
    : loop_(loop),
      log_(log),
      agent_(agent),
      on_change_(std::move(on_change)),
      checks_(loop, log, agent, PollOf("own_node", "/v1/agent/checks", kPollUnknown),
              [this](const http::Response& response) { return TakeChecks(response); }) {}

Place OwnPlace::place() const {
  return {node_, registered_ == authz::Locality{} ? of_node_ : registered_};
}

std::vector<const Watch*> OwnPlace::Watches() const {
  if (!catalog_) return {&checks_};
  return {&checks_, &*catalog_};
}

Status OwnPlace::TakeChecks(const http::Response& response) {
  auto node = authz::ParseAgentNode(response.body);
  if (!node) return node.error();
  // A check that is gone, or not shown any more, moves nobody.
  if (node->empty() || *node == node_) return Ok();
  auto options = PollOf("own_zone", "/v1/catalog/node/" + authz::PercentEncoded(*node), kPoll);
  catalog_.emplace(loop_, log_, agent_, std::move(options),
                   [this](const http::Response& told) { return TakeNode(told); });
  catalog_->Start();
  checks_.SetPollInterval(kPoll);
  node_ = *std::move(node);
  on_change_();
  return Ok();
}

Status OwnPlace::TakeNode(const http::Response& response) {
  const auto locality = authz::ParseNodeLocality(response.body);
  if (!locality) return locality.error();
  if (std::exchange(of_node_, *locality) != *locality) on_change_();
  return Ok();
}

}  // namespace mooring::control
