#include "proxy/data/attempt_failure.h"

namespace mooring::data {

AttemptFailure ClosedEarly() {
  return {CloseReason::kClosedEarly,
          "it proved itself and closed, within early_close and without a byte"};
}

void ReportFailure(Host& host, const std::string& listener, Upstream& upstream, const Lease& lease,
                   net::MonotonicTime began, const AttemptFailure& failure) {
  const std::string endpoint = lease.endpoint().address.Text();
  host.counters(ListenerKind::kUpstream).attempts_failed[failure.reason].Add();
  host.StrangerLog(failure.reason, log::Level::kWarn, "upstream attempt failed", endpoint,
                   {{"upstream", listener},
                    {"endpoint", endpoint},
                    {"reason", CloseReasonName(failure.reason)},
                    {"detail", failure.detail}});
  if (!failure.IsItsFault()) return;
  const net::MonotonicTime now = host.loop().now();
  lease.endpoint().history->FailedFor(failure.reason, now);
  upstream.Report(lease, LoadBalancer::Outcome::kFailed, began, now);
}

}  // namespace mooring::data
