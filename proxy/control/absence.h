// Absence: whether an instance that the agent's answer lacks has left the catalog.
//
// It has, unless the agent may know less than it did: in an answer that ACLs have filtered; and
// after a connection to the agent was lost, for it may have been started anew, until it has listed
// somebody for ten seconds. An agent that lists nobody after a loss proves nothing by it, however
// long. What an answer says of an instance that is in it counts in any case. Pure but for its
// memory; time is an argument. Loop thread only.
#pragma once

#include <optional>

#include "proxy/net/clock.h"
#include "proxy/net/loop.h"

namespace mooring::control {

class Absence final {
 public:
  // the promise of how soon fresh state is there once the agent answers again
  static constexpr net::milliseconds kSettle{10'000};

  struct Answer {
    bool empty = false;
    bool after_loss = false;  // it is the first since a connection to the agent was lost
    bool filtered = false;    // by ACLs
  };
  void Note(const Answer& answer, net::MonotonicTime now) {
    filtered_ = answer.filtered;
    if (answer.after_loss || nobody_since_) from_ = now + kSettle;
    nobody_since_ = answer.empty && (answer.after_loss || nobody_since_);
  }
  bool Counts(net::MonotonicTime now) const {
    return !filtered_ && !nobody_since_ && (!from_ || now >= *from_);
  }
  // Next is when it counts, if nothing else is heard; nothing: it does, or that is not known.
  std::optional<net::MonotonicTime> Next(net::MonotonicTime now) const {
    return filtered_ || nobody_since_ || Counts(now) ? std::nullopt : from_;
  }

 private:
  bool filtered_ = false;
  bool nobody_since_ = false;  // a loss of the agent
  std::optional<net::MonotonicTime> from_;
};

}  // namespace mooring::control
