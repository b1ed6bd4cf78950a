#include "proxy/data/tap.h"

#include <algorithm>
#include <new>

namespace mooring::data {

void Tap::Add(bool from_client, std::span<const std::uint8_t> bytes) noexcept {
  bool over = false;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    try {
      const std::size_t taken = std::min(bytes.size(), room_);
      pieces_.push_back({std::chrono::system_clock::now(), from_client,
                         std::string(reinterpret_cast<const char*>(bytes.data()), taken)});
      room_ -= taken;
      cut_ = taken < bytes.size();
    } catch (const std::bad_alloc&) {
      cut_ = true;
    }
    if (cut_) over = CloseLocked();
  }
  if (over) over_();
}

bool Tap::CloseLocked() { return !std::exchange(closed_, true); }

void Tap::Close() noexcept {
  bool over = false;
  {
    const std::lock_guard lock(mutex_);
    over = CloseLocked();
  }
  if (over) over_();
}

bool Tap::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

std::vector<Tap::Piece> Tap::Take(bool* cut) {
  const std::lock_guard lock(mutex_);
  *cut = cut_;
  return std::move(pieces_);
}

}  // namespace mooring::data
