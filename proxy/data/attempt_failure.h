// AttemptFailure: why an endpoint did not do, and all who are to hear of it.
#pragma once

#include <string>

#include "proxy/data/close_reason.h"
#include "proxy/data/host.h"
#include "proxy/data/upstream.h"
#include "proxy/net/clock.h"

namespace mooring::data {

struct AttemptFailure {
  CloseReason reason = CloseReason::kConnectRefused;
  std::string detail;  // more of it, in words; one line

  // IsItsFault: it is the endpoint's. A shortage of ours is not, nor what we do not know, nor an
  // intention, nor that it has left the catalog.
  bool IsItsFault() const {
    return reason != CloseReason::kOutOfResources && reason != CloseReason::kNotReady &&
           reason != CloseReason::kDenied && reason != CloseReason::kDeparted;
  }
};

// ClosedEarly is that of an instance that has proven itself and ended it within early_close.
AttemptFailure ClosedEarly();

// ReportFailure tells the log, the counters, the endpoint's history and the balancer of an attempt
// for a client, which began then. `listener` is the upstream's. Loop thread.
void ReportFailure(Host& host, const std::string& listener, Upstream& upstream, const Lease& lease,
                   net::MonotonicTime began, const AttemptFailure& failure);

}  // namespace mooring::data
