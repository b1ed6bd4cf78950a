#include "proxy/data/caps.h"

#include <utility>

namespace mooring::data {
namespace {

// Of a part of something, which it keeps.
template <typename Whole>
std::shared_ptr<Cap> Part(const std::shared_ptr<Whole>& whole, Cap Whole::*cap) {
  return {whole, &(whole.get()->*cap)};
}

// Enter takes a place, or says which limit there is none under.
std::optional<OverLimit> Enter(std::shared_ptr<Cap> cap, const char* setting, Place* place) {
  *place = Place::In(cap);
  if (*place) return std::nullopt;
  return OverLimit{setting, cap->limit().value_or(0)};
}

}  // namespace

std::optional<OverLimit> AtAccept(Admission& admission, ListenerKind kind,
                                  const std::shared_ptr<UpstreamCaps>& upstream,
                                  const net::SocketAddress& peer, net::MonotonicTime now,
                                  Places* places) noexcept {
  AddressRate* rate = admission.address_rate();
  if (kind == ListenerKind::kPublic && rate != nullptr && !rate->May(peer, now))
    return OverLimit{"rate_per_address", rate->rate()};
  if (const auto over = Enter(admission.all(), "max_total_connections", &places->process))
    return over;
  if (!upstream) return std::nullopt;
  if (const auto over =
          Enter(Part(upstream, &UpstreamCaps::connections), "max_connections", &places->service))
    return over;
  return Enter(Part(upstream, &UpstreamCaps::pending), "max_pending", &places->pending);
}

std::optional<OverLimit> AtIdentity(const std::shared_ptr<InboundCaps>& caps,
                                    std::string_view identity, Places* places) {
  if (!caps) return std::nullopt;
  std::optional<IdentityCap::Place> place = caps->each->Enter(identity);
  if (!place) return OverLimit{"max_connections_per_identity", caps->each->limit().value_or(0)};
  places->identity = std::move(*place);
  const auto over =
      Enter(Part(caps, &InboundCaps::connections), "max_inbound_connections", &places->service);
  if (over) places->identity.Return();
  return over;
}

}  // namespace mooring::data
