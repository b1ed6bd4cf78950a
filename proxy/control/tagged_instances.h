// TaggedInstances: which instances of an upstream carry a tag (`select`).
//
// The tag is one of the app's own service. A sidecar's registration has the tags of the day it was
// written, if any, and health/connect is not told of a change where only the app is registered
// anew, as Patroni does. So the app's entries are asked for by themselves (health/service), and
// joined to those of the sidecars by node and Proxy.DestinationServiceID; a sidecar that names no
// such ID stands for the one instance of the service on its node, and for none where there are
// several.
//
// Who carries the tag changes as damper.h has it, so that a service whose roles flap does not throw
// its clients about. An entry that has vanished counts as absence.h has it. Pure but for its
// memory; time is an argument. Owned by an upstream; loop thread only.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "authz/consul/api.h"
#include "proxy/control/absence.h"
#include "proxy/control/damper.h"

namespace mooring::control {

class TaggedInstances final {
 public:
  // Note takes up an answer.
  void Note(const std::vector<authz::AppInstance>& apps, const Absence::Answer& answer,
            net::MonotonicTime now);
  // Settle has what is due by time alone take effect.
  void Settle(net::MonotonicTime now);
  // Next is when that is.
  std::optional<net::MonotonicTime> Next(net::MonotonicTime now) const;

  // Known: there has been an answer.
  bool known() const { return known_; }
  // Has: the instance's app carries the tag, as far as that is in force.
  bool Has(const authz::Instance& instance) const;

  // listed is how many apps there are, pending of how many a change is held back.
  std::size_t listed() const { return apps_.size(); }
  std::size_t pending() const { return damper_.pending(); }

 private:
  struct App {
    bool tagged = false;
    bool present = false;  // in the last answer
  };

  bool known_ = false;
  Absence absence_;
  Damper damper_{Damper::Joining::kWaits};
  std::map<InstanceKey, App> apps_;
  InstanceKeys in_force_;
};

}  // namespace mooring::control
