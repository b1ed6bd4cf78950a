// Review: takes every connection through the newest snapshot, a few at a time, so that what is
// asked of thousands does not hold up the loop in one piece. Nothing revoked is served meanwhile: a
// connection that has not had its turn has it before its next event.
//
// Knows nothing of verdicts: each connection draws its own (Connection::OnSnapshot, by a Judge).
// One service host's; its loop's thread.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>

#include "proxy/data/connection.h"
#include "proxy/data/judge.h"
#include "proxy/data/rounds.h"
#include "proxy/net/loop.h"

namespace mooring::data {

class Review final {
 public:
  using Connections = std::list<std::unique_ptr<Connection>>;

  // `connections` outlive the Review.
  Review(net::Loop& loop, Connections& connections);

  // Begin: `now` holds from here on instead of `before`, which may be null. The first connections
  // have their turn inside the call, the others in turns of the loop. A review that is under way
  // goes into this one.
  void Begin(std::shared_ptr<const Snapshot> before, std::shared_ptr<const Snapshot> now);

  // Joined and Leaving are to be called when a connection comes to the list's front, and before it
  // is taken off.
  void Joined(Connection& connection);
  void Leaving(Connections::iterator position) { rounds_.Leaving(position); }

  // Settle gives `connection` its turn, if it has not had it. False: it is over.
  bool Settle(Connection& connection) noexcept;

  bool under_way() const { return judge_.has_value(); }

 private:
  void GoOn();

  net::Loop& loop_;
  Connections& connections_;
  Rounds<std::unique_ptr<Connection>> rounds_{connections_};
  net::Timer next_;
  std::uint64_t generation_ = 0;
  net::MonotonicTime changed_{};
  std::shared_ptr<const Snapshot> now_;  // the judge's, while there is one
  std::optional<Judge> judge_;
};

}  // namespace mooring::data
