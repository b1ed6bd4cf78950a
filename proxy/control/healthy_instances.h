// HealthyInstances: which of the instances that the agent lists are to be tried.
//
// Those whose checks pass, and, unless passing ones alone are wanted, those whose checks warn, with
// the weight that their registration has for it: 0 is none. And for a while those that were tried
// before and of which nothing new is known. After a restart of an agent every check of its services
// is critical until it has run. An instance that was tried before is tried for one check interval
// and kBit longer, counted from the first such answer: it proves who it is, so that a dead one
// costs a failed attempt. Whoever has a verdict against it (a check that has run, maintenance) or
// has left the list is out at once. Pure but for its memory; time is an argument. Owned by an
// upstream; loop thread only.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "authz/consul/api.h"
#include "proxy/net/loop.h"

namespace mooring::control {

class HealthyInstances final {
 public:
  // of a sidecar's check, where the agent tells none
  static constexpr net::milliseconds kInterval{10'000};
  static constexpr net::milliseconds kMostInterval{60'000};  // nothing is tried on trust for longer
  // a check takes some time, and its verdict travels
  static constexpr net::milliseconds kBit{3'000};

  explicit HealthyInstances(bool passing_only = false) : passing_only_(passing_only) {}

  // Take is the part of `listed`, an answer about all instances, that is to be tried; in its order.
  std::vector<authz::Instance> Take(const std::vector<authz::Instance>& listed,
                                    net::MonotonicTime now);
  // Next is when the first of those without a verdict is to be tried no more: Take is due with the
  // same list.
  std::optional<net::MonotonicTime> Next() const { return next_; }

  // Spares: nobody is to be sent there because of a warning. Of an answer that Consul has filtered
  // (a query's) this is all that is left to ask.
  bool Spares(const authz::Instance& instance) const {
    return instance.warning && (passing_only_ || instance.weight == 0);
  }

 private:
  // node, ID, address, port
  using Key = std::tuple<std::string, std::string, std::string, std::uint16_t>;
  const bool passing_only_;
  // since when without a verdict; none: it passes or warns
  std::map<Key, std::optional<net::MonotonicTime>> tried_;
  std::optional<net::MonotonicTime> next_;
};

}  // namespace mooring::control
