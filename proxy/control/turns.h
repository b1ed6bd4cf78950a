// Turns: which upstreams wait for a change by a blocking query, and which are asked in turn.
//
// There are fewer connections than upstreams may be: with a seat for each all wait; with more
// upstreams than seats those in use lately have them. A seat is never taken from who sits: blocking
// queries are short then, and at the end of one its owner stands up if somebody was in use later.
// (An agent keeps the connection of an abandoned blocking query until the query's time is over, so
// giving one up would use two.)
//
// Guests are documents that do as well when they are polled: one sits where a seat is free and no
// upstream lacks a connection. While upstreams and guests fill all seats a guest's queries are
// short, too, so that an upstream that comes waits for a seat no longer than for one of its kind.
// Knows no sockets; owned by AgentConnections. Loop thread only.
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

  // Player is one upstream's, or one guest's, part in it, for as long as it lives.
  class Player final {
   public:
    // `last_used` tells when the upstream was in use last; MonotonicTime{} is never.
    Player(Turns& turns, std::function<net::MonotonicTime()> last_used);
    // A guest; `wants` tells whether it would sit at all.
    Player(Turns& turns, std::function<bool()> wants);
    ~Player();
    Player(const Player&) = delete;
    Player& operator=(const Player&) = delete;

    // MayWait: who is about to ask may do so by a blocking query.
    bool MayWait() { return turns_.MayWait(this); }
    void Sit() { sits_ = true; }
    void StandUp() { sits_ = false; }
    // Lacks notes whether it is polled for want of a connection.
    void Lacks(bool lacks) { lacks_ = lacks; }
    bool guest() const { return wants_ != nullptr; }
    // Brief: its blocking queries have to be, for somebody may need its seat.
    bool Brief() const { return guest() ? !turns_.SeatLeft() : turns_.Contended(); }

   private:
    friend class Turns;
    Turns& turns_;
    const std::function<net::MonotonicTime()> last_used_;  // null: a guest
    const std::function<bool()> wants_;                    // null: no guest
    bool sits_ = false;
    bool lacks_ = false;
    bool wanting_ = false;  // a guest, when it was last about to ask
  };

  void SetSeats(std::size_t seats) { seats_ = seats; }
  std::size_t seats() const { return seats_; }
  std::size_t players() const { return players_.size(); }  // without guests
  std::size_t guests() const { return guests_.size(); }
  bool Contended() const { return players_.size() > seats_; }
  // Wanted is how many seats upstreams would use, and guests that wanted one when they last asked.
  std::size_t Wanted() const { return players_.size() + guests_wanting_; }

 private:
  bool MayWait(Player* player);
  bool GuestMayWait(const Player& guest) const;
  bool SeatLeft() const { return Wanted() < seats_; }

  std::size_t seats_;
  std::list<Player*> players_;
  std::list<Player*> guests_;
  std::size_t guests_wanting_ = 0;
};

}  // namespace mooring::control
