#include "proxy/data/sticky.h"

namespace mooring::data {

const Endpoint* Sticky::Find(const EndpointHistory* history) {
  if (history == nullptr) return nullptr;
  if (place_ < endpoints_.size() && endpoints_[place_].history.get() == history)
    return &endpoints_[place_];
  for (std::size_t i = 0; i < endpoints_.size(); ++i) {
    if (endpoints_[i].history.get() != history) continue;
    place_ = i;
    return &endpoints_[i];
  }
  return nullptr;
}

const Endpoint* Sticky::Choose(Choice& choice, const Among& among, net::MonotonicTime) {
  const auto fits = [&](const Endpoint& endpoint) { return Fits(choice, among, endpoint); };
  const EndpointHistory* const before = kept_->endpoint();
  // however far it is: a nearer one would do as well, and is not the one that is kept
  if (const Endpoint* kept = Find(before); kept != nullptr && fits(*kept)) return kept;
  const Endpoint* const drawn = lot_.Draw(among.count, fits);
  if (drawn == nullptr) return nullptr;
  kept_->Replace(before, drawn->history.get());
  const Endpoint* const kept = Find(kept_->endpoint());
  return kept != nullptr && fits(*kept) ? kept : drawn;
}

}  // namespace mooring::data
