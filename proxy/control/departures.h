// Departures: which instances have left an upstream by the catalog's word, so that the sessions to
// them are to end (`on_departure: close`).
//
// They have left when a check has found them critical, an operator has put them into maintenance,
// they lost the tag that `select` wants, or the catalog lists them no more (absence.h). A check
// that warns or has not run, an agent that is away, and our own failures to reach an instance are
// no such word. One that is back has not left, at once; one that leaves again soon has its sessions
// for a while longer (damper.h). Pure but for its memory; time is an argument. Owned by an
// upstream; loop thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "authz/consul/api.h"
#include "proxy/control/damper.h"
#include "proxy/data/departed.h"

namespace mooring::control {

class Departures final {
 public:
  // One that has left is forgotten `remember` later: by then no session to it is left.
  explicit Departures(net::milliseconds remember) : remember_(remember) {}

  // Chosen says whether an instance is one of those that are wanted; null: all are.
  using Chosen = std::function<bool(const authz::Instance&)>;
  // Take is who has left, by an answer about all instances; null: nobody. `wanted` names the tag
  // that `chosen` looks at, `absence_counts` says whether who is not listed has left.
  std::shared_ptr<const data::Departed> Take(const std::vector<authz::Instance>& listed,
                                             const Chosen& chosen, const std::string& wanted,
                                             bool absence_counts, net::MonotonicTime now);
  // Next is when Take is due with the same.
  std::optional<net::MonotonicTime> Next() const { return damper_.Next(); }

 private:
  struct Member {
    std::string why;  // it has left; empty: it has not
    net::MonotonicTime since{};
  };
  void Say(Member& member, std::string why, net::MonotonicTime now);

  const net::milliseconds remember_;
  Damper damper_{Damper::Joining::kAtOnce};
  std::map<InstanceKey, Member> members_;  // who is in, or has been
};

}  // namespace mooring::control
