#include "proxy/data/prober.h"

#include <algorithm>

namespace mooring::data {
namespace {

constexpr net::milliseconds kLook{200};  // a fifth of the shortest interval

bool Asks(const UpstreamRules& rules) { return rules.known && rules.probe_interval.count() > 0; }

}  // namespace

Prober::Prober(Host& host, Probes& probes)
    : host_(host), probes_(probes), look_(host.loop(), [this] { Look(); }) {}

void Prober::Follow() {
  const auto& upstreams = host_.snapshot()->upstreams;
  const bool wanted = std::any_of(upstreams.begin(), upstreams.end(),
                                  [](const auto& upstream) { return Asks(*upstream.second); });
  if (!wanted) {
    look_.Stop();
  } else if (!look_.running()) {
    look_.Start(kLook);
  }
}

void Prober::Look() {
  look_.Start(kLook);
  if (!host_.snapshot()->identity) return;
  for (const auto& [listener, rules] : host_.snapshot()->upstreams) {
    if (!Asks(*rules)) continue;
    const std::shared_ptr<Upstream> upstream = host_.UpstreamOf(listener);
    while (probes_.BeginDue(upstream)) {
    }
    while (probes_.BeginRegular(upstream)) {
    }
  }
}

}  // namespace mooring::data
