#include "proxy/control/turns.h"

#include <utility>

namespace mooring::control {

Turns::Player::Player(Turns& turns, std::function<net::MonotonicTime()> last_used)
    : turns_(turns), last_used_(std::move(last_used)) {
  turns_.players_.push_back(this);
}

Turns::Player::~Player() { turns_.players_.remove(this); }

bool Turns::MayWait(const Player& player) const {
  if (!Contended() || player.sits_) return true;
  const net::MonotonicTime used = player.last_used_();
  std::size_t sitting = 0;
  std::size_t before = 0;  // who stands and was in use later
  for (const Player* other : players_) {
    if (other->sits_) {
      ++sitting;
    } else if (other != &player && other->last_used_() > used) {
      ++before;
    }
  }
  return sitting + before < seats_;
}

}  // namespace mooring::control
