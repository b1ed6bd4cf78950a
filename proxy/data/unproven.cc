#include "proxy/data/unproven.h"

#include <utility>

namespace mooring::data {
namespace {

// So many are ended at once to make room, of so many that are looked at.
constexpr std::int64_t kShedAtOnce = 16;
constexpr std::size_t kLookedAt = 256;
// The time that a caller has while others wait for its place. A client speaks first, as soon as it
// is connected, and answers us within a round trip or two.
constexpr net::milliseconds kSilentFor{100};
constexpr net::milliseconds kUnprovenFor{1'000};

}  // namespace

void Unproven::Enter(Connection* connection) {
  connection->unproven_ = callers_.insert(callers_.end(), connection);
  connection->accepted_at_ = loop_.now();
  connection->handshake_bytes_ = kHandshakeCost;
  admission_.AddHandshakes(1, kHandshakeCost);
}

void Unproven::Leave(Connection* connection) noexcept {
  if (!connection->unproven_) return;
  callers_.erase(*connection->unproven_);
  connection->unproven_.reset();
  admission_.AddHandshakes(-1, -std::exchange(connection->handshake_bytes_, 0));
}

Unproven::Ended Unproven::Holds(Connection* connection, std::size_t bytes) {
  if (!connection->unproven_) return 0;
  const auto now = static_cast<std::int64_t>(kHandshakeCost + bytes);
  admission_.AddHandshakes(0, now - std::exchange(connection->handshake_bytes_, now));
  if (admission_.handshake_bytes() <= static_cast<std::int64_t>(admission_.handshake_memory()))
    return 0;
  Connection* largest = nullptr;  // of the older ones
  std::size_t looked_at = 0;
  for (Connection* one : callers_) {
    if (largest == nullptr || one->handshake_bytes_ > largest->handshake_bytes_) largest = one;
    if (++looked_at == kLookedAt) break;
  }
  if (largest == nullptr) return 0;
  largest->Cut(CloseReason::kOutOfResources);
  return 1;
}

Unproven::Ended Unproven::MakeRoom() {
  Ended ended = 0;
  std::size_t looked_at = 0;
  for (auto next = callers_.begin();
       next != callers_.end() && ended < kShedAtOnce && looked_at < kLookedAt; ++looked_at) {
    Connection* oldest = *next++;  // Cut takes it off the list
    const auto age = loop_.now() - oldest->accepted_at_;
    if (age < kSilentFor) break;
    const bool silent = oldest->handshake_bytes_ == static_cast<std::int64_t>(kHandshakeCost);
    // it is our turn, not the caller's
    if ((!silent && age < kUnprovenFor) || oldest->OwesAnswer()) continue;
    oldest->Cut(CloseReason::kOutOfResources);
    ++ended;
  }
  return ended;
}

}  // namespace mooring::data
