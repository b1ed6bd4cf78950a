// Judge: may this peer be served, and may it go on. The one place that answers, at the end of a
// handshake and at every change.
//
// It asks two things: does the chain, as of its handshake, lead to a root that is trusted now, and
// do intentions and default allow the caller. A leaf that has expired since its handshake is no
// reason. One cause has one reason, whenever it is found; what a change takes away from a
// connection that was let in already is called so (kRevoked, kRootRemoved). Equal chains and equal
// sources are judged once, because thousands of connections may share them. Loop's thread only.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "proxy/data/close_reason.h"
#include "proxy/data/snapshot.h"
#include "proxy/log/log.h"
#include "tls/alert.h"
#include "tls/session.h"

namespace mooring::data {

// Objection is why a peer is not served any further, and the alert that says so to it.
struct Objection {
  CloseReason reason = CloseReason::kRevoked;
  tls::Alert alert = tls::Alert::kAccessDenied;
  std::string detail;
  log::Level level = log::Level::kInfo;  // of the line about it
};

// Moment is when a peer is judged.
enum class Moment {
  kEntering,  // its handshake is done, nothing has been served
  kLive,      // it was let in: only what has changed is looked at
  // the same, and something stands against it already: all is looked at, for it may be allowed
  // again
  kInGrace,
};

// BeforeHandshake says why nobody can be accepted now, because we could not prove ourselves or
// judge anybody.
std::optional<Objection> BeforeHandshake(const Snapshot* now, tls::WallTime time);

class Judge final {
 public:
  // `before` is what the peers were judged by so far; null: by nothing. `unfinished` is a Judge
  // that has not seen all of them, whose changes are therefore this one's, too. `now` must outlive
  // the Judge.
  Judge(const Snapshot* before, const Snapshot& now, const Judge* unfinished = nullptr);

  // OfCaller judges an inbound connection, OfInstance an outbound one, whose handshakes are done.
  // `by`, if given, gets what allows a caller.
  std::optional<Objection> OfCaller(const tls::Session& session, Moment moment,
                                    std::string* by = nullptr);
  std::optional<Objection> OfInstance(const tls::Session& session, Moment moment);

 private:
  std::optional<Objection> OfChain(const tls::Session& session, Moment moment);
  authz::Decision Decide(const tls::Session& session, Moment moment);

  const Snapshot& now_;
  bool chains_ = false;                               // a root was withdrawn
  bool decisions_ = false;                            // intentions or default changed
  std::map<std::string, tls::Judgement> by_chain_;    // by Session::ChainKey
  std::map<std::string, authz::Decision> by_source_;  // by SPIFFE ID
};

// Grace keeps what stands against one live connection, and how long it may go on all the same.
class Grace final {
 public:
  enum class Then {
    kGoesOn,  // nothing stands against it
    kWaits,   // until Left is over
    kQuiets,  // until it is between two exchanges, or Left is over
    kEnds,    // now, for objection()
  };
  // Note takes the newest verdict, of what changed at `changed`. A second one does not begin the
  // grace anew. Where that is to end quietly, one against its chain ends it at once.
  Then Note(const LivePolicy& policy, std::optional<Objection> verdict, net::MonotonicTime changed);
  // Left is what is left of the grace.
  net::milliseconds Left(net::MonotonicTime now) const;
  const std::optional<Objection>& objection() const { return objection_; }
  Moment moment() const { return objection_ ? Moment::kInGrace : Moment::kLive; }

 private:
  std::optional<Objection> objection_;
  net::MonotonicTime ends_{};
};

}  // namespace mooring::data
