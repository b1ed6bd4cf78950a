// Liveness: tells a dead peer from one that is alive and reads nothing, on a leg that has bytes
// under way.
//
// TCP_USER_TIMEOUT ends a connection whose data stays unsent for a zero window, too (tcp(7)): a
// program that stops reading for half a minute would lose its connection though both ends are well.
// So when bytes stay under way from one check to the next, the timeout is lifted and this class
// judges by what TCP_INFO says: a living peer acknowledges window probes, a dead one nothing. Idle
// legs cost no system call. One a leg.
#pragma once

#include "proxy/net/clock.h"

namespace mooring::net {

inline constexpr milliseconds kLivenessCheck{5'000};  // how often Check is to be called

class Liveness final {
 public:
  // NoteSent: bytes have been handed to the kernel.
  void NoteSent() { sent_ = true; }
  // Check is true if the peer must be taken for dead.
  bool Check(int fd, MonotonicTime now);

 private:
  bool sent_ = false;     // since the last check
  bool waiting_ = false;  // bytes were under way at the last check
  MonotonicTime waiting_since_{};
  bool lifted_ = false;
};

}  // namespace mooring::net
