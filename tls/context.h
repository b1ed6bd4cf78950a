// Context: everything that TLS sessions of one kind share, made once per (leaf, roots) pair.
//
// Shared by const pointer, from any thread. What it was made of never changes: a change of leaf or
// roots makes a new Context, and live sessions keep theirs. What it learns does change, under locks
// of its own: peers dialled (PeerMemory), keys of tickets (TicketKeys). TLS 1.2 and 1.3 or less
// (Offer), ECDHE with AEAD only; groups as offered; no SHA-1, ALPN, renegotiation or early data. CA
// names are not sent.
//
// Mesh sessions resume by tickets, which end with their Context. A resumed session is judged like a
// new one, by the chain that its ticket carries and the time of now, on both sides (RFC 8446 2.2
// leaves that to us).
#pragma once

#include <cstddef>
#include <memory>

#include "tls/https_options.h"
#include "tls/identity.h"
#include "tls/offer.h"

namespace mooring::tls {

// kMostHandshakeMessage is the longest message of a handshake that is taken, in bytes; a longer one
// is refused at its length field (RFC 8446 4), before it has come. Ten RSA-4096 certificates, or a
// ClientHello with post-quantum key shares and a ticket, stay below half of it.
inline constexpr std::size_t kMostHandshakeMessage = std::size_t{32} << 10;

class Context final {
 public:
  // Mesh contexts. The server demands a client certificate that `roots` accepts in the role of
  // client; the client demands a server certificate, and each session one particular identity
  // besides.
  static Result<std::shared_ptr<const Context>> MeshServer(std::shared_ptr<const Credentials> leaf,
                                                           std::shared_ptr<const TrustBundle> roots,
                                                           const Offer& offer = {});
  static Result<std::shared_ptr<const Context>> MeshClient(std::shared_ptr<const Credentials> leaf,
                                                           std::shared_ptr<const TrustBundle> roots,
                                                           const Offer& offer = {});

  // ForHttps is for the agent's API: host names, not SPIFFE IDs. Blocks on files; errors name the
  // file.
  static Result<std::shared_ptr<const Context>> ForHttps(const HttpsOptions& options);

  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  struct Impl;
  const Impl& impl() const { return *impl_; }

 private:
  explicit Context(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mooring::tls
