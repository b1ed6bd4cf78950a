// Farewell: how a live session ends whose instance has left the catalog.
//
// Between two exchanges, once it has been silent for as long as a drain asks (LivePolicy::quiet),
// and cleanly: whoever pools it sees its end while it is idle. When the grace is over it ends
// whatever it does, by a reset where an answer is owed. Both for kDeparted. It is looked at as
// seldom as that allows, for thousands may leave at once. Its Live owns nothing of it and outlives
// it; loop's thread only.
#pragma once

#include "proxy/data/live.h"
#include "proxy/net/loop.h"

namespace mooring::data {

class Farewell final {
 public:
  // `quiet` 0: not before `until`. To be begun by Look, which may end the session.
  Farewell(net::Loop& loop, Live& live, net::milliseconds quiet, net::MonotonicTime until)
      : loop_(loop), live_(live), quiet_(quiet), until_(until), look_(loop, [this] { Look(); }) {}
  Farewell(const Farewell&) = delete;
  Farewell& operator=(const Farewell&) = delete;

  void Look();
  void Stop() noexcept { look_.Stop(); }

 private:
  net::Loop& loop_;
  Live& live_;
  const net::milliseconds quiet_;
  const net::MonotonicTime until_;
  net::Timer look_;
};

}  // namespace mooring::data
