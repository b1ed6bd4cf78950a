#include "tls/diagnosis.h"

#include "tls/boringssl.h"

namespace mooring::tls {
namespace {

void Classify(int reason, bool during_handshake, Diagnosis& diagnosis) {
  diagnosis.failure = Failure::kProtocol;
  diagnosis.refusal = Refusal::kNone;
  switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_ENCRYPTED_LENGTH_TOO_LONG:
      if (during_handshake) diagnosis.failure = Failure::kNotTls;
      return;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_UNKNOWN_PROTOCOL: diagnosis.failure = Failure::kVersion; return;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_GROUP:
    case SSL_R_NO_COMMON_SIGNATURE_ALGORITHMS:
    case SSL_R_WRONG_SIGNATURE_TYPE:
    case SSL_R_WRONG_CURVE: diagnosis.failure = Failure::kNoCommonCipher; return;
    case SSL_R_CERTIFICATE_VERIFY_FAILED: diagnosis.failure = Failure::kCertificate; return;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      diagnosis.failure = Failure::kCertificate;
      diagnosis.refusal = Refusal::kNoCertificate;
      return;
    case SSL_R_CANNOT_PARSE_LEAF_CERT:
    case SSL_R_CERT_LENGTH_MISMATCH:
      diagnosis.failure = Failure::kCertificate;
      diagnosis.refusal = Refusal::kMalformed;
      return;
    case SSL_R_KEY_USAGE_BIT_INCORRECT:
    case SSL_R_UNKNOWN_CERTIFICATE_TYPE:
    case SSL_R_WRONG_CERTIFICATE_TYPE:
    case SSL_R_BAD_ECC_CERT:
      diagnosis.failure = Failure::kCertificate;
      diagnosis.refusal = Refusal::kLeafRules;
      return;
    default: return;
  }
}

}  // namespace

const char* FailureName(Failure failure) {
  switch (failure) {
    case Failure::kNone: return "none";
    case Failure::kCertificate: return "certificate_refused";
    case Failure::kAlert: return "peer_alert";
    case Failure::kNotTls: return "not_tls";
    case Failure::kVersion: return "no_common_version";
    case Failure::kNoCommonCipher: return "no_common_cipher";
    case Failure::kProtocol: return "protocol_error";
    case Failure::kMemory: return "out_of_memory";
  }
  return "none";
}

Diagnosis Diagnose(bool during_handshake) {
  Diagnosis diagnosis;
  while (const std::uint32_t packed = ERR_get_error()) {
    const int reason = ERR_GET_REASON(packed);
    if (reason == ERR_R_MALLOC_FAILURE)
      return {Failure::kMemory, -1, Refusal::kNone, "no memory was to be had"};
    const char* name = ERR_reason_error_string(packed);
    if (!diagnosis.text.empty()) diagnosis.text += ", ";
    diagnosis.text += name != nullptr ? name : "error " + std::to_string(reason);
    // An alert stays the answer whatever BoringSSL adds after it; else the last reason of the TLS
    // layer is the one that says what the lower layers' reasons meant.
    if (ERR_GET_LIB(packed) != ERR_LIB_SSL || diagnosis.failure == Failure::kAlert) continue;
    if (reason >= SSL_AD_REASON_OFFSET && reason <= SSL_AD_REASON_OFFSET + 255) {
      diagnosis.failure = Failure::kAlert;
      diagnosis.alert = reason - SSL_AD_REASON_OFFSET;
      diagnosis.refusal = Refusal::kNone;
      diagnosis.text = std::string("the peer sent the alert \"") +
                       SSL_alert_desc_string_long(diagnosis.alert) + "\" (" +
                       std::to_string(diagnosis.alert) + ")";
      continue;
    }
    Classify(reason, during_handshake, diagnosis);
  }
  if (diagnosis.text.empty()) diagnosis.text = "the peer ended the handshake";
  return diagnosis;
}

Alert AlertFor(Refusal refusal) {
  switch (refusal) {
    case Refusal::kUnknownCa: return Alert::kUnknownCa;
    case Refusal::kExpired:
    case Refusal::kNotYetValid: return Alert::kCertificateExpired;
    case Refusal::kForeignTrustDomain:
    case Refusal::kWrongIdentity: return Alert::kCertificateUnknown;
    case Refusal::kNone:
    case Refusal::kNoCertificate:
    case Refusal::kMalformed:
    case Refusal::kChainTooLong:
    case Refusal::kLeafRules:
    case Refusal::kNotSpiffe: return Alert::kBadCertificate;
  }
  return Alert::kBadCertificate;
}

}  // namespace mooring::tls
