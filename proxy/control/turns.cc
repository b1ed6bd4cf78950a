#include "proxy/control/turns.h"

#include <algorithm>
#include <utility>

namespace mooring::control {

Turns::Player::Player(Turns& turns, std::function<net::MonotonicTime()> last_used)
    : turns_(turns), last_used_(std::move(last_used)) {
  turns_.players_.push_back(this);
}

Turns::Player::Player(Turns& turns, std::function<bool()> wants)
    : turns_(turns), wants_(std::move(wants)) {
  turns_.guests_.push_back(this);
}

Turns::Player::~Player() {
  (guest() ? turns_.guests_ : turns_.players_).remove(this);
  turns_.guests_wanting_ -= wanting_ ? 1u : 0u;
}

bool Turns::MayWait(Player* player) {
  if (player->guest()) {
    guests_wanting_ -= player->wanting_ ? 1u : 0u;
    player->wanting_ = player->wants_();
    guests_wanting_ += player->wanting_ ? 1u : 0u;
    return player->sits_ || GuestMayWait(*player);
  }
  if (!Contended() || player->sits_) return true;
  const net::MonotonicTime used = player->last_used_();
  std::size_t sitting = 0;
  std::size_t before = 0;  // who stands and was in use later
  for (const Player* other : players_) {
    if (other->sits_) {
      ++sitting;
    } else if (other != player && other->last_used_() > used) {
      ++before;
    }
  }
  return sitting + before < seats_;
}

bool Turns::GuestMayWait(const Player& guest) const {
  if (!guest.wanting_ || players_.size() >= seats_) return false;
  const auto lacks = [](const Player* player) { return player->lacks_; };
  if (std::any_of(players_.begin(), players_.end(), lacks)) return false;
  const auto sits = [](const Player* other) { return other->sits_; };
  const auto sitting =
      static_cast<std::size_t>(std::count_if(guests_.begin(), guests_.end(), sits));
  return players_.size() + sitting < seats_;
}

}  // namespace mooring::control
