// Acceptor: takes connections from a listening socket on one loop, and survives every failure of
// accept.
//
// The listening descriptor is opened once by the control thread (so that a bind error is known
// there and at once) and shared by the workers, each with an Acceptor on a duplicate of it. When
// its owner has no room, or the process runs out of descriptors or memory, it holds: the kernel's
// queue keeps the clients. It goes on at Resume, which the owner calls when something of its own
// came free, and by itself soon after (kFirstPause, then longer and longer up to kLongestPause),
// for what came free elsewhere. Where the socket does not listen for the moment (refusing_port.h)
// it rests until Resume, and by itself does nothing. It never ends and never spins.
#pragma once

#include <functional>
#include <optional>

#include "proxy/net/loop.h"
#include "proxy/net/socket.h"

namespace mooring::net {

class Acceptor final {
 public:
  static constexpr milliseconds kFirstPause{10};
  static constexpr milliseconds kLongestPause{250};

  struct Callbacks {
    std::function<void(UniqueFd fd, const SocketAddress& peer)> on_accept;
    std::function<void(int error)> on_pause;  // accept failed with this errno; it holds
    // Asked before each accept. False: there is no room, hold. Absent: there always is.
    std::function<bool()> has_room = nullptr;
  };
  // `listening` is a duplicate that this Acceptor owns; nothing of it is taken if this throws.
  Acceptor(Loop& loop, UniqueFd&& listening, Callbacks callbacks);
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // AcceptWaiting takes what the kernel has queued, without waiting for an event: the last act of a
  // drain, so that no client that the kernel has greeted is dropped by closing the listener.
  void AcceptWaiting();

  // Holds: clients may be waiting, and it does not look for them; or nobody can wait, and it rests.
  bool Holds() const { return holds_; }
  // Resume looks at once, if it holds. Not from inside a callback of this Acceptor.
  void Resume();

 private:
  void OnReady();
  // AcceptOne is true when a further one may be waiting.
  bool AcceptOne();
  void Hold();
  void Rest();

  Loop& loop_;
  UniqueFd fd_;
  Callbacks callbacks_;
  std::optional<Poller> poller_;
  Timer resume_;
  milliseconds pause_ = kFirstPause;
  bool holds_ = false;
  int lost_in_a_row_ = 0;  // accepts that failed by a dead connection, without a good one between
};

}  // namespace mooring::net
