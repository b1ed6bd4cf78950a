// Drain: how one service's connections on one worker end before the process does.
//
// A connection between exchanges (the server spoke last, or nobody has) is closed cleanly: whoever
// pools it sees its end while it is idle, and loses nothing. Where the client spoke last, its
// answer is awaited. Those that were open at the beginning end at random moments of the first
// second, so that their owners do not all come back at once. Knows nothing of listeners or of time
// limits: the owner stops accepting, and cuts. The worker's loop thread only.
#pragma once

#include <list>
#include <memory>
#include <optional>

#include "proxy/data/connection.h"
#include "proxy/data/stats.h"
#include "proxy/net/loop.h"

namespace mooring::data {

class Drain final {
 public:
  // `awaited` counts the connections whose end is awaited. All outlive the Drain.
  Drain(net::Loop& loop, std::list<std::unique_ptr<Connection>>& connections, Count& awaited);

  // Begin awaits the connections that are open now. They end once they have been silent for `quiet`
  // between exchanges; 0: never by our doing. `only`: those of one kind, the others go on.
  void Begin(net::milliseconds quiet, std::optional<ListenerKind> only = std::nullopt);
  // Retire awaits all that are open, because there will be no others: also a caller who has not
  // proven itself yet, whose handshake is not hurried. They end, silent for `quiet`, at random
  // moments of `spread`.
  void Retire(net::milliseconds quiet, net::milliseconds spread);
  // AwaitAll awaits what has come since, too, of one kind: what is between exchanges ends at once.
  void AwaitAll(ListenerKind kind);
  // CutAwaited ends what is still awaited, by a reset where an answer is owed.
  void CutAwaited();
  // Retired: a connection has ended, by whatever cause.
  void Retired(Connection& connection) { Release(connection); }

 private:
  void Await(Connection& connection, net::MonotonicTime ends_from);
  void Release(Connection& connection);
  void AwaitOpen(net::milliseconds spread, std::optional<ListenerKind> only);
  void Look();

  net::Loop& loop_;
  std::list<std::unique_ptr<Connection>>& connections_;
  Count& awaited_;
  net::milliseconds quiet_{0};
  bool retires_ = false;
  net::Timer look_;
};

}  // namespace mooring::data
