// Turns: which upstreams wait for a change by a blocking query, and which are asked in turn.
//
// There are fewer connections than upstreams may be: with a seat for each all wait; with more
// upstreams than seats those in use lately have them. A seat is never taken from who sits: blocking
// queries are short then, and at the end of one its owner stands up if somebody was in use later.
// (An agent keeps the connection of an abandoned blocking query until the query's time is over, so
// giving one up would use two.) Knows no sockets; owned by AgentConnections. Loop thread only.
#pragma once

#include <cstddef>
#include <functional>
#include <list>

#include "proxy/net/loop.h"

namespace mooring::control {

class Turns final {
 public:
  explicit Turns(std::size_t seats) : seats_(seats) {}
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  // Player is one upstream's part in it, for as long as it lives.
  class Player final {
   public:
    // `last_used` tells when the upstream was in use last; MonotonicTime{} is never.
    Player(Turns& turns, std::function<net::MonotonicTime()> last_used);
    ~Player();
    Player(const Player&) = delete;
    Player& operator=(const Player&) = delete;

    // MayWait: who is about to ask may do so by a blocking query.
    bool MayWait() const { return turns_.MayWait(*this); }
    void Sit() { sits_ = true; }
    void StandUp() { sits_ = false; }

   private:
    friend class Turns;
    Turns& turns_;
    const std::function<net::MonotonicTime()> last_used_;
    bool sits_ = false;
  };

  void SetSeats(std::size_t seats) { seats_ = seats; }
  std::size_t seats() const { return seats_; }
  std::size_t players() const { return players_.size(); }
  bool Contended() const { return players_.size() > seats_; }

 private:
  bool MayWait(const Player& player) const;

  std::size_t seats_;
  std::list<Player*> players_;
};

}  // namespace mooring::control
