// Alert: the TLS alerts that we send by a decision of our own (RFC 8446 6.2). What the handshake
// itself objects to, BoringSSL says.
#pragma once

#include <array>
#include <cstdint>

namespace mooring::tls {

enum class Alert : std::uint8_t {
  kBadCertificate = 42,
  kCertificateExpired = 45,
  kCertificateUnknown = 46,
  kUnknownCa = 48,
  kAccessDenied = 49,
  kInternalError = 80,
};

// AlertInClear is the record of a fatal alert as it is before any handshake (RFC 8446 5.1 and 6):
// the peer learns a reason, too.
constexpr std::array<std::uint8_t, 7> AlertInClear(Alert alert) {
  return {21, 3, 3, 0, 2, 2, static_cast<std::uint8_t>(alert)};
}

}  // namespace mooring::tls
