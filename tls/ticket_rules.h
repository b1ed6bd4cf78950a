// How long one proof of identity is worth something without its key, and whose tickets are worth
// keeping. Pure.
#pragma once

#include <chrono>
#include <cstdint>

#include "tls/identity.h"

namespace mooring::tls {

// kTicketSeconds: for so long after a full handshake its session can be resumed, however often the
// ticket is renewed between. What a ticket proves is judged at each use; this bounds how long one
// that was stolen, with its secret, is worth something.
inline constexpr std::uint32_t kTicketSeconds = 2 * 60 * 60;

// kMostStatedSeconds: BoringSSL's servers, Envoy among them, state two days at most. Go's state
// seven, and Consul's own proxy, which is one, does not ask its intentions about a resumed session:
// it is to be met by full handshakes only.
inline constexpr std::uint32_t kMostStatedSeconds = 2 * 24 * 60 * 60;

// WorthKeeping tells by the lifetime that its server states whether a dialling side keeps a ticket.
// 0 is "unspecified" in TLS 1.2 (RFC 5077 3.3), which is what Go's servers say there, and "discard"
// in TLS 1.3 (RFC 8446 4.6.1).
constexpr bool WorthKeeping(std::uint32_t stated_seconds) {
  return stated_seconds > 0 && stated_seconds <= kMostStatedSeconds;
}

// StillProven: a session that goes back to a full handshake at `proven_at` may be resumed at `now`.
// A proof of the future is one of another clock.
constexpr bool StillProven(WallTime proven_at, WallTime now) {
  return proven_at <= now && now - proven_at < std::chrono::seconds(kTicketSeconds);
}

}  // namespace mooring::tls
