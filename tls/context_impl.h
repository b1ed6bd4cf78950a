// Private to tls/: what a Context is made of, and what its sessions do for it inside BoringSSL's
// callbacks.
#pragma once

#include <cstdint>
#include <memory>

#include "tls/boringssl.h"
#include "tls/context.h"

namespace mooring::tls {

class PeerMemory;
class TicketKeys;

struct Context::Impl {
  enum class Kind { kMeshServer, kMeshClient, kHttps };

  Kind kind = Kind::kMeshServer;
  std::shared_ptr<const TrustBundle> roots;  // mesh
  bssl::UniquePtr<X509_STORE> https_roots;   // https; null when `verify` is false
  bool verify = true;
  // mesh: the key exchange group that we prefer (RFC 8446 4.2.7)
  std::uint16_t first_group = 0;
  std::unique_ptr<PeerMemory> memory;       // mesh, dialling side
  std::unique_ptr<TicketKeys> ticket_keys;  // mesh, accepting side
  // Records that a session seals under one key; with AES-GCM no more than 2^24.5 full ones (RFC
  // 8446 5.5).
  std::uint64_t most_records_per_key = std::uint64_t{1} << 24U;
  bssl::UniquePtr<SSL_CTX> ssl_ctx;

  Impl();
  ~Impl();
};

// In session_tickets.cc. KeepTicket is BoringSSL's callback for a ticket that a Session of a
// dialling context has received. TicketMethod seals and opens those that an accepting one gives.
// BoundSession bounds the life of the session that a full handshake makes.
int KeepTicket(SSL* ssl, SSL_SESSION* ticket);
const SSL_TICKET_AEAD_METHOD* TicketMethod();
void BoundSession(SSL* ssl);

}  // namespace mooring::tls
