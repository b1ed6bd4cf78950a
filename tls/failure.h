// Failure: why a session failed.
#pragma once

namespace mooring::tls {

// A closed list with names for logs and counters (FailureName).
enum class Failure {
  kNone,
  kCertificate,     // the peer's certificate was refused: judgement() has the Refusal
  kAlert,           // the peer sent a fatal alert: `alert` has its number
  kNotTls,          // plaintext or garbage instead of a TLS record
  kVersion,         // no common protocol version
  kNoCommonCipher,  // no common cipher suite, group or signature algorithm
  kProtocol,        // any other violation
  kMemory,          // there was none to be had, on our side
};
const char* FailureName(Failure failure);

}  // namespace mooring::tls
