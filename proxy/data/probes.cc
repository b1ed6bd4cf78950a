#include "proxy/data/probes.h"

#include <optional>
#include <utility>

namespace mooring::data {

void Probes::BeginDue(const std::shared_ptr<Upstream>& upstream) noexcept {
  if (under_way_.size() >= kMost) return;
  host_.loop().Attend(this, [&] {
    std::optional<Lease> due = upstream->DueProbe(host_.loop().now());
    if (!due) return;
    under_way_.emplace_back(host_, *this, upstream, *std::move(due));
    under_way_.back().Begin();
  });
}

void Probes::OnOver(Probe& probe) {
  under_way_.remove_if([&](const Probe& each) { return &each == &probe; });
}

void Probes::OnEscaped() noexcept {
  (void)host_.Escaped("probes ended");
  under_way_.clear();
}

}  // namespace mooring::data
