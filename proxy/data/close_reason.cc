#include "proxy/data/close_reason.h"

namespace mooring::data {

const char* CloseReasonName(CloseReason reason) {
  switch (reason) {
    case CloseReason::kDone: return "done";
    case CloseReason::kTlsTruncated: return "tls_truncated";
    case CloseReason::kReset: return "reset";
    case CloseReason::kIdleTimeout: return "idle_timeout";
    case CloseReason::kDrained: return "drained";
    case CloseReason::kDrainTimeout: return "drain_timeout";
    case CloseReason::kMaxConnectionAge: return "max_connection_age";
    case CloseReason::kDeparted: return "departed";
    case CloseReason::kRevoked: return "revoked";
    case CloseReason::kRootRemoved: return "root_removed";
    case CloseReason::kProbe: return "probe";
    case CloseReason::kNotTls: return "not_tls";
    case CloseReason::kHandshakeTimeout: return "handshake_timeout";
    case CloseReason::kHandshakeAborted: return "handshake_aborted";
    case CloseReason::kTlsVersion: return "tls_version";
    case CloseReason::kTlsError: return "tls_error";
    case CloseReason::kPeerAlert: return "peer_alert";
    case CloseReason::kNoClientCertificate: return "no_client_certificate";
    case CloseReason::kCertificateMalformed: return "certificate_malformed";
    case CloseReason::kChainTooLong: return "chain_too_long";
    case CloseReason::kUnknownCa: return "unknown_ca";
    case CloseReason::kCertExpired: return "cert_expired";
    case CloseReason::kCertNotYetValid: return "cert_not_yet_valid";
    case CloseReason::kLeafRules: return "leaf_rules";
    case CloseReason::kNotAServiceId: return "not_a_service_id";
    case CloseReason::kForeignTrustDomain: return "foreign_trust_domain";
    case CloseReason::kSanMismatch: return "san_mismatch";
    case CloseReason::kDenied: return "denied";
    case CloseReason::kLeafExpired: return "leaf_expired";
    case CloseReason::kNotReady: return "not_ready";
    case CloseReason::kStale: return "stale";
    case CloseReason::kLocalConnectFailed: return "local_connect_failed";
    case CloseReason::kNoEndpoint: return "no_endpoint";
    case CloseReason::kConnectRefused: return "connect_refused";
    case CloseReason::kConnectTimeout: return "connect_timeout";
    case CloseReason::kClosedEarly: return "closed_early";
    case CloseReason::kConnectFailed: return "connect_failed";
    case CloseReason::kOverLimit: return "over_limit";
    case CloseReason::kOutOfResources: return "out_of_resources";
    case CloseReason::kInternalError: return "internal_error";
    case CloseReason::kReasons: break;
  }
  return "unknown";
}

bool IsFailure(CloseReason reason) {
  switch (reason) {
    case CloseReason::kDone:
    case CloseReason::kTlsTruncated:
    case CloseReason::kReset:
    case CloseReason::kIdleTimeout:
    case CloseReason::kDrained:
    case CloseReason::kDrainTimeout:
    case CloseReason::kMaxConnectionAge:
    case CloseReason::kDeparted:
    case CloseReason::kProbe: return false;
    default: return true;
  }
}

CloseReason FromRefusal(tls::Refusal refusal) {
  switch (refusal) {
    case tls::Refusal::kNone: return CloseReason::kTlsError;
    case tls::Refusal::kNoCertificate: return CloseReason::kNoClientCertificate;
    case tls::Refusal::kMalformed: return CloseReason::kCertificateMalformed;
    case tls::Refusal::kChainTooLong: return CloseReason::kChainTooLong;
    case tls::Refusal::kUnknownCa: return CloseReason::kUnknownCa;
    case tls::Refusal::kExpired: return CloseReason::kCertExpired;
    case tls::Refusal::kNotYetValid: return CloseReason::kCertNotYetValid;
    case tls::Refusal::kLeafRules: return CloseReason::kLeafRules;
    case tls::Refusal::kNotSpiffe: return CloseReason::kNotAServiceId;
    case tls::Refusal::kForeignTrustDomain: return CloseReason::kForeignTrustDomain;
    case tls::Refusal::kWrongIdentity: return CloseReason::kSanMismatch;
  }
  return CloseReason::kTlsError;
}

}  // namespace mooring::data
