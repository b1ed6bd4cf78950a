// HealthyInstances: which of the instances that the agent lists are to be tried.
//
// Those whose checks pass; and for a while those that were tried before and of which nothing new is
// known. After a restart of an agent every check of its services is critical until it has run. An
// instance that was passing before is tried for one check interval and kBit longer, counted from
// the first such answer: it proves who it is, so that a dead one costs a failed attempt. Whoever
// has a verdict against it (a check that has run, maintenance) or has left the list is out at once.
// Pure but for its memory; time is an argument. Owned by an upstream; loop thread only.
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

  // Take is the part of `listed`, an answer about all instances, that is to be tried; in its order.
  std::vector<authz::Instance> Take(const std::vector<authz::Instance>& listed,
                                    net::MonotonicTime now);
  // Next is when the first of those without a verdict is to be tried no more: Take is due with the
  // same list.
  std::optional<net::MonotonicTime> Next() const { return next_; }

 private:
  // node, ID, address, port
  using Key = std::tuple<std::string, std::string, std::string, std::uint16_t>;
  // since when without a verdict; none: it passes
  std::map<Key, std::optional<net::MonotonicTime>> tried_;
  std::optional<net::MonotonicTime> next_;
};

}  // namespace mooring::control
