// Session's tickets: whether a caller gets one, and which of those that a server gives are kept.
#include <openssl/rand.h>

#include <chrono>
#include <new>
#include <utility>

#include "tls/peer_memory.h"
#include "tls/session.h"
#include "tls/session_impl.h"
#include "tls/ticket_keys.h"
#include "tls/ticket_rules.h"

namespace mooring::tls {

bool Session::Impl::GivesTicket() {
  // BoringSSL has not asked about a resumed session: it is judged here by the chain that its ticket
  // carries.
  if (!judged) JudgePeer();
  return judgement.refusal == Refusal::kNone && (!ticket_gate || ticket_gate());
}

namespace {

// The callbacks run under BoringSSL, which no exception may cross.

std::size_t Overhead(SSL*) { return TicketKeys::kOverhead; }

// SealTicket runs at the end of the handshake: the caller has proven that it holds its key, or the
// session's. Whatever is in the way costs the ticket and not the connection.
int SealTicket(SSL* ssl, std::uint8_t* out, std::size_t* out_length, std::size_t most,
               const std::uint8_t* in, std::size_t length) {
  // no ticket; in TLS 1.2, where the server's hello has announced one, an empty one (RFC 5077 3.3)
  *out_length = 0;
  auto* impl = static_cast<Session::Impl*>(SSL_get_app_data(ssl));
  try {
    if (impl->GivesTicket()) {
      *out_length = impl->shared().ticket_keys->Seal({in, length}, {out, most},
                                                     std::chrono::steady_clock::now());
    }
  } catch (...) {
    impl->starved = true;
  }
#if BORINGSSL_API_VERSION < 20
  // Debian's old copy would send an empty ticket in TLS 1.3, which has none: one that nobody can
  // open stands for it.
  if (*out_length == 0 && SSL_version(ssl) >= TLS1_3_VERSION) {
    *out_length = TicketKeys::kOverhead;
    RAND_bytes(out, *out_length);
  }
#endif
  return 1;
}

ssl_ticket_aead_result_t OpenTicket(SSL* ssl, std::uint8_t* out, std::size_t* out_length,
                                    std::size_t most, const std::uint8_t* in, std::size_t length) {
  const auto* impl = static_cast<const Session::Impl*>(SSL_get_app_data(ssl));
  *out_length =
      impl->shared().ticket_keys->Open({in, length}, {out, most}, std::chrono::steady_clock::now());
  return *out_length > 0 ? ssl_ticket_aead_success : ssl_ticket_aead_ignore_ticket;
}

// Stated is for how long the server says that its ticket is good. Of TLS 1.3 BoringSSL keeps the
// lesser of that and of what the context says, which is more than we take (EnableTickets).
std::uint32_t Stated(const SSL* ssl, const SSL_SESSION* ticket) {
  return SSL_version(ssl) >= TLS1_3_VERSION ? SSL_SESSION_get_timeout(ticket)
                                            : SSL_SESSION_get_ticket_lifetime_hint(ticket);
}

}  // namespace

const SSL_TICKET_AEAD_METHOD* TicketMethod() {
  static constexpr SSL_TICKET_AEAD_METHOD kMethod{Overhead, SealTicket, OpenTicket};
  return &kMethod;
}

void BoundSession(SSL* ssl) {
  // Both of its lifetimes: the one of the next ticket, and the one of all tickets that come of this
  // handshake, which BoringSSL carries along in them and which would be seven days in TLS 1.3.
  SSL_SESSION_set_timeout(SSL_get_session(ssl), kTicketSeconds);
}

int KeepTicket(SSL* ssl, SSL_SESSION* ticket) {
  bssl::UniquePtr<SSL_SESSION> owned(ticket);  // ours by the return value
  const auto* impl = static_cast<const Session::Impl*>(SSL_get_app_data(ssl));
  if (impl->place.empty() || SSL_SESSION_has_ticket(ticket) == 0 ||
      !WorthKeeping(Stated(ssl, ticket)))
    return 1;
  const WallTime proven_at =
      SSL_session_reused(ssl) == 1 ? impl->ticket_proven_at : impl->judged_at;
  try {
    impl->shared().memory->Keep(impl->place, std::move(owned), proven_at);
  } catch (const std::bad_alloc&) {
  }
  return 1;
}

}  // namespace mooring::tls
