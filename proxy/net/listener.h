// Acceptor: takes connections from a listening socket on one loop, and survives every failure of accept.
//
// The listening descriptor is opened once by the control thread (so that a bind error is known there and
// at once) and shared by the workers, each with an Acceptor on a duplicate of it. When the process runs out of descriptors or
// memory it pauses and tries again, quarter of a second later; it never ends and never spins.
#pragma once

#include <functional>
#include <optional>

#include "proxy/net/loop.h"
#include "proxy/net/socket.h"

namespace mooring::net {

inline constexpr milliseconds kAcceptPause{250};

class Acceptor final {
 public:
  struct Callbacks {
    std::function<void(UniqueFd fd, const SocketAddress& peer)> on_accept;
    std::function<void(int error)> on_pause;  // accept failed with this errno; paused for kAcceptPause
  };
  // `listening` is a duplicate that this Acceptor owns.
  Acceptor(Loop& loop, UniqueFd listening, Callbacks callbacks);
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // AcceptWaiting takes what the kernel has queued, without waiting for an event: the last act of a drain,
  // so that no client that the kernel has greeted is dropped by closing the listener.
  void AcceptWaiting();

 private:
  void OnReady();
  // AcceptOne is true when a further one may be waiting.
  bool AcceptOne();

  Loop& loop_;
  UniqueFd fd_;
  Callbacks callbacks_;
  std::optional<Poller> poller_;
  Timer resume_;
  int lost_in_a_row_ = 0;  // accepts that failed by a dead connection, without a good one between
};

}  // namespace mooring::net
