#include "proxy/data/identity_cap.h"

#include <algorithm>
#include <utility>

namespace mooring::data {

IdentityCap::Place::Place(Place&& other) noexcept
    : cap_(std::move(other.cap_)), whose_(other.whose_) {}

IdentityCap::Place& IdentityCap::Place::operator=(Place&& other) noexcept {
  if (this != &other) {
    Return();
    cap_ = std::move(other.cap_);
    whose_ = other.whose_;
  }
  return *this;
}

void IdentityCap::Place::Return() noexcept {
  if (!cap_) return;
  {
    const std::lock_guard lock(cap_->mutex_);
    if (--whose_->second == 0) cap_->counts_.erase(whose_);
  }
  cap_.reset();  // perhaps the last one of it, so not under its lock
}

std::optional<IdentityCap::Place> IdentityCap::Enter(std::string_view identity) {
  const std::optional<std::int64_t> most = limit();
  if (!most) return Place();
  const std::lock_guard lock(mutex_);
  auto found = counts_.find(identity);
  if ((found == counts_.end() ? 0 : found->second) >= *most) {
    ++refused_;
    return std::nullopt;
  }
  if (found == counts_.end()) found = counts_.emplace(identity, 0).first;
  ++found->second;
  std::optional<Place> place(std::in_place);
  place->cap_ = shared_from_this();
  place->whose_ = found;
  return place;
}

std::pair<std::string, std::int64_t> IdentityCap::Largest() const {
  const std::lock_guard lock(mutex_);
  const auto largest =
      std::max_element(counts_.begin(), counts_.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  if (largest == counts_.end()) return {};
  return *largest;
}

std::int64_t IdentityCap::refused() const {
  const std::lock_guard lock(mutex_);
  return refused_;
}

}  // namespace mooring::data
