#include "proxy/data/probes.h"

#include <utility>

namespace mooring::data {

bool Probes::Begin(const std::shared_ptr<Upstream>& upstream,
                   std::optional<Lease> (Upstream::*due)(net::MonotonicTime now)) noexcept {
  if (under_way_.size() >= kMost) return false;
  bool begun = false;
  host_.loop().Attend(this, [&] {
    std::optional<Lease> lease = (*upstream.*due)(host_.loop().now());
    if (!lease) return;
    begun = true;
    under_way_.emplace_back(host_, *this, upstream, *std::move(lease));
    under_way_.back().Begin();
  });
  return begun;
}

void Probes::OnOver(Probe& probe) {
  under_way_.remove_if([&](const Probe& each) { return &each == &probe; });
}

void Probes::OnEscaped() noexcept {
  (void)host_.Escaped("probes ended");
  under_way_.clear();
}

}  // namespace mooring::data
