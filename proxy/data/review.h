// Review: what one new snapshot means for the connections that live.
//
// Judging one again asks two things: does its chain, as of its handshake, lead to a root that is trusted now,
// and do intentions and default allow it. A leaf that has expired since is no reason. Made once per worker and
// snapshot; equal chains and equal sources are judged once, because thousands of connections may share them.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "proxy/data/close_reason.h"
#include "proxy/data/snapshot.h"
#include "tls/session.h"

namespace mooring::data {

// Objection is why a connection may not go on, and the alert that says so to the peer.
struct Objection {
  CloseReason reason = CloseReason::kRevoked;
  tls::Alert alert = tls::Alert::kAccessDenied;
  std::string detail;
};

class Review final {
 public:
  // `before` may be null: then everything is new. Both must outlive the Review.
  Review(const Snapshot* before, const Snapshot& now);

  // OfCaller judges an inbound connection, OfInstance an outbound one, whose handshakes are done. `again`: also
  // what this snapshot has not changed, for a connection that has an objection already.
  std::optional<Objection> OfCaller(const tls::Session& session, bool again);
  std::optional<Objection> OfInstance(const tls::Session& session, bool again);

 private:
  std::optional<Objection> OfChain(const tls::Session& session, bool again);

  const Snapshot& now_;
  bool chains_ = false;     // a root was withdrawn
  bool decisions_ = false;  // intentions or default changed
  std::map<std::string, std::optional<Objection>> by_chain_;   // by Session::ChainKey
  std::map<std::string, std::optional<Objection>> by_source_;  // by SPIFFE ID
};

// Enforce applies the policy to a live connection's newest verdict: it keeps the objection in `standing` and runs `grace`
// while that lasts. True: cut it now, for *standing.
bool Enforce(const LivePolicy& policy, std::optional<Objection> verdict, std::optional<Objection>* standing,
             net::Timer* grace);

// JudgeChain and JudgeCaller are the two questions, asked anew under `snapshot`, which has an identity.
std::optional<Objection> JudgeChain(const Snapshot& snapshot, const tls::Session& session);
std::optional<Objection> JudgeCaller(const Snapshot& snapshot, const authz::ServiceId& source);

}  // namespace mooring::data
