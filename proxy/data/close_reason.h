// CloseReason: why a connection, or one attempt to reach an endpoint, ended. One closed list, at
// once log field, counter label and test assertion.
#pragma once

#include <cstddef>

#include "tls/identity.h"

namespace mooring::data {

enum class CloseReason {
  kDone,          // both directions ended
  kTlsTruncated,  // the same, but a TLS peer left out its close_notify
  kReset,         // a reset was passed on
  kIdleTimeout,
  kDrained,       // closed by a drain, between exchanges
  kDrainTimeout,  // still open at the end of the drain time
  kMaxConnectionAge,
  kDeparted,     // its instance left the catalog, and on_departure is close
  kRevoked,      // live: intentions or the default came to forbid it
  kRootRemoved,  // live: the peer's chain leads to no root that is trusted now
  kProbe,        // connected and left without a byte
  kNotTls,       // plaintext or garbage on the public listener
  kHandshakeTimeout,
  kHandshakeAborted,  // the peer left in the middle of the handshake
  kTlsVersion,
  kTlsError,
  kPeerAlert,  // the peer ended the session by a fatal alert
  kNoClientCertificate,
  kCertificateMalformed,
  kChainTooLong,
  kUnknownCa,
  kCertExpired,
  kCertNotYetValid,
  kLeafRules,
  kNotAServiceId,
  kForeignTrustDomain,
  kSanMismatch,
  kDenied,              // by an intention or the default
  kLeafExpired,         // our own leaf certificate has expired
  kNotReady,            // identity or intentions are not known, yet or any more
  kStale,               // what is known is older than max_stale
  kLocalConnectFailed,  // the local app does not take connections
  kNoEndpoint,          // the upstream has no healthy instance
  kConnectRefused,      // one attempt: refused, reset or unreachable
  kConnectTimeout,      // one attempt, or all of them: the deadline passed
  kClosedEarly,         // one attempt: proven, and ended within early_close, without a byte
  kConnectFailed,       // no endpoint could be reached and proven
  kOverLimit,           // more connections than a setting allows (caps.h)
  kOutOfResources,      // descriptors, memory, ports or epoll watches ran out
  kInternalError,       // a mistake of ours, which this connection has paid for; see the log
  kReasons,             // how many there are; it stays last
};
inline constexpr std::size_t kCloseReasons = static_cast<std::size_t>(CloseReason::kReasons);

const char* CloseReasonName(CloseReason reason);

// IsFailure: it did not get what it had come for, was turned away, or was cut for what it is. What
// ends by itself, by a limit on its time or in a drain is none, nor is one that said nothing.
bool IsFailure(CloseReason reason);

// FromRefusal translates the tls room's word for a certificate that it does not believe.
CloseReason FromRefusal(tls::Refusal refusal);

}  // namespace mooring::data
