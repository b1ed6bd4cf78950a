#include "proxy/data/review.h"

#include <utility>

namespace mooring::data {
namespace {
// libuv would serve a timer of 0, started anew by itself, for ever within one turn.
constexpr net::milliseconds kNextTurn{1};
}  // namespace

Review::Review(net::Loop& loop, Connections& connections)
    : loop_(loop), connections_(connections), next_(loop, [this] { GoOn(); }) {}

void Review::Begin(std::shared_ptr<const Snapshot> before, std::shared_ptr<const Snapshot> now) {
  next_.Start(kNextTurn);  // whatever is thrown below
  Judge judge(before.get(), *now, judge_ ? &*judge_ : nullptr);
  judge_.emplace(std::move(judge));
  now_ = std::move(now);
  changed_ = loop_.now();
  ++generation_;
  rounds_.Restart();
  GoOn();
}

void Review::GoOn() {
  if (!judge_) return;
  rounds_.Next([this](std::unique_ptr<Connection>& connection) { Settle(*connection); });
  if (!rounds_.AtEnd()) {
    next_.Start(kNextTurn);
    return;
  }
  next_.Stop();
  judge_.reset();
  now_.reset();
}

void Review::Joined(Connection& connection) {
  connection.review_ = this;
  connection.judged_ = generation_;
}

bool Review::Settle(Connection& connection) noexcept {
  if (connection.judged_ != generation_ && !connection.retired_) {
    connection.judged_ = generation_;
    // One that cannot be judged ends.
    loop_.Attend(&connection, [&] { connection.OnSnapshot(*judge_, changed_); });
  }
  return !connection.retired_;
}

bool Connection::BeforeEvent() noexcept { return review_ == nullptr || review_->Settle(*this); }

}  // namespace mooring::data
