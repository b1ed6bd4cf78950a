#include "tls/context.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "tls/boringssl.h"
#include "tls/context_impl.h"
#include "tls/credentials_impl.h"
#include "tls/https.h"
#include "tls/peer_memory.h"
#include "tls/ticket_keys.h"
#include "tls/ticket_rules.h"

namespace mooring::tls {
namespace {

// TLS 1.2 suites by BoringSSL's names, in the order of OurSuites. The first of them are equal, so
// that a peer without AES instructions gets ChaCha20.
constexpr std::array<const char*, 6> kCiphers = {
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",   "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"};
constexpr std::size_t kEqual = 4;

// CipherList is BoringSSL's rule for these suites: "[A|B]:C".
std::string CipherList(const std::vector<std::string>& suites) {
  std::string equal;
  std::string rest;
  const std::vector<std::string>& ours = OurSuites();
  for (std::size_t i = 0; i < kCiphers.size(); ++i) {
    if (std::find(suites.begin(), suites.end(), ours[i]) == suites.end()) continue;
    std::string& list = i < kEqual ? equal : rest;
    list += (list.empty() ? "" : i < kEqual ? "|" : ":") + std::string(kCiphers[i]);
  }
  if (equal.find('|') != std::string::npos) equal = "[" + equal + "]";
  return equal + (equal.empty() || rest.empty() ? "" : ":") + rest;
}

// Both for what we sign and for what we accept. BoringSSL's own lists still end in SHA-1, and the
// one for accepting lacks P-521 and Ed25519, which Consul and SPIFFE issuers can be set to.
constexpr std::array<std::uint16_t, 10> kSignatures = {
    SSL_SIGN_ECDSA_SECP256R1_SHA256, SSL_SIGN_ED25519,
    SSL_SIGN_RSA_PSS_RSAE_SHA256,    SSL_SIGN_RSA_PKCS1_SHA256,
    SSL_SIGN_ECDSA_SECP384R1_SHA384, SSL_SIGN_RSA_PSS_RSAE_SHA384,
    SSL_SIGN_RSA_PKCS1_SHA384,       SSL_SIGN_ECDSA_SECP521R1_SHA512,
    SSL_SIGN_RSA_PSS_RSAE_SHA512,    SSL_SIGN_RSA_PKCS1_SHA512,
};

std::string GroupList(const std::vector<std::string>& groups) {
  std::string list;
  for (const std::string& group : groups) list += (list.empty() ? "" : ":") + group;
  return list;
}

std::uint16_t GroupId(const std::string& name) {
  if (name == "X25519") return SSL_CURVE_X25519;
  if (name == "P-256") return SSL_CURVE_SECP256R1;
  if (name == "P-384") return SSL_CURVE_SECP384R1;
#if BORINGSSL_API_VERSION >= 20
  return SSL_GROUP_X25519_MLKEM768;
#else
  return 0;
#endif
}

Error Refused(const char* what) {
  return {ErrorCode::kInternal, std::string("BoringSSL refuses the ") + what + ": " + TakeErrors()};
}

int WireVersion(Version version) {
  return version == Version::kTls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
}

Result<bssl::UniquePtr<SSL_CTX>> NewSslCtx(const Offer& offer) {
  ERR_clear_error();
  // With buffers: BoringSSL then keeps peers' certificates as bytes, not as parsed X509 objects.
  bssl::UniquePtr<SSL_CTX> ctx(SSL_CTX_new(TLS_with_buffers_method()));
  if (!ctx) return Refused("context");
  if (SSL_CTX_set_min_proto_version(ctx.get(),
                                    static_cast<std::uint16_t>(WireVersion(offer.least))) != 1 ||
      SSL_CTX_set_max_proto_version(ctx.get(),
                                    static_cast<std::uint16_t>(WireVersion(offer.most))) != 1) {
    return Refused("protocol versions");
  }
  const std::string ciphers = CipherList(offer.suites);
  const bool needed = offer.least == Version::kTls12;  // TLS 1.3 alone has no list
  if (needed && SSL_CTX_set_strict_cipher_list(ctx.get(), ciphers.c_str()) != 1)
    return Refused("cipher list");
  if (SSL_CTX_set1_groups_list(ctx.get(), GroupList(offer.groups).c_str()) != 1)
    return Refused("groups");
  if (SSL_CTX_set_signing_algorithm_prefs(ctx.get(), kSignatures.data(), kSignatures.size()) != 1 ||
      SSL_CTX_set_verify_algorithm_prefs(ctx.get(), kSignatures.data(), kSignatures.size()) != 1) {
    return Refused("signature algorithms");
  }
  // No state of ours for a session, in either role: what resumes is in the ticket (EnableTickets).
  SSL_CTX_set_session_cache_mode(ctx.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(ctx.get(), SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_early_data_enabled(ctx.get(), 0);
  // BoringSSL's limit on certificates is its limit on every message of a handshake.
  SSL_CTX_set_max_cert_list(ctx.get(), kMostHandshakeMessage);
  return ctx;
}

// EnableTickets lets sessions of a mesh context resume.
void EnableTickets(Context::Impl* impl, const Offer& offer) {
  SSL_CTX* ctx = impl->ssl_ctx.get();
  static constexpr std::uint8_t kContextId[] = {'m', 'e', 's', 'h'};
  SSL_CTX_set_session_id_context(ctx, kContextId, sizeof kContextId);
  SSL_CTX_set_timeout(ctx, kTicketSeconds);
  if (offer.tickets) SSL_CTX_clear_options(ctx, SSL_OP_NO_TICKET);
  // Certificates that many sessions hold are in memory once.
  static CRYPTO_BUFFER_POOL* const pool = CRYPTO_BUFFER_POOL_new();
  SSL_CTX_set0_buffer_pool(ctx, pool);
#if BORINGSSL_API_VERSION >= 20
  // Each connection gives back the ticket that it used; more would be sealed, sent and kept for
  // nothing.
  SSL_CTX_set_num_tickets(ctx, 1);
#endif
  if (impl->kind == Context::Impl::Kind::kMeshServer) {
    SSL_CTX_set_session_psk_dhe_timeout(ctx, kTicketSeconds);
    impl->ticket_keys = std::make_unique<TicketKeys>();
    SSL_CTX_set_ticket_aead_method(ctx, TicketMethod());
    return;
  }
  // BoringSSL cuts what a TLS 1.3 server states to this, less the time since the handshake. Even
  // days after it more than we take has to show as more. By then the proof is too old for any
  // ticket: PeerMemory bounds the use.
  SSL_CTX_set_session_psk_dhe_timeout(ctx, 2 * kMostStatedSeconds);
  impl->memory = std::make_unique<PeerMemory>();
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(ctx, KeepTicket);
  // The chain in a session is judged again, by the verifier that every handshake has, before our
  // Finished is sent.
  SSL_CTX_set_reverify_on_resume(ctx, 1);
}

}  // namespace

Context::Impl::Impl() = default;
Context::Impl::~Impl() = default;

Context::Context(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Context::~Context() = default;

namespace {

Result<std::unique_ptr<Context::Impl>> NewMesh(Context::Impl::Kind kind, const Credentials* leaf,
                                               std::shared_ptr<const TrustBundle> roots,
                                               const Offer& offer) {
  if (leaf == nullptr || !roots) {
    return Error{ErrorCode::kInternal, "a mesh context needs both a leaf and roots"};
  }
  auto ctx = NewSslCtx(offer);
  if (!ctx) return ctx.error();
  std::vector<CRYPTO_BUFFER*> chain;
  for (const auto& certificate : leaf->impl().chain) chain.push_back(certificate.get());
  if (SSL_CTX_set_chain_and_key(ctx->get(), chain.data(), chain.size(), leaf->impl().key.get(),
                                nullptr) != 1) {
    return Refused("leaf certificate");
  }
  // The names of our roots are not sent: some clients then hold back a leaf that only a
  // cross-signed intermediate leads to one of them, just when roots rotate.
  auto impl = std::make_unique<Context::Impl>();
  impl->kind = kind;
  impl->first_group = GroupId(offer.groups.front());
  impl->roots = std::move(roots);
  impl->ssl_ctx = *std::move(ctx);
  EnableTickets(impl.get(), offer);
  return impl;
}

}  // namespace

Result<std::shared_ptr<const Context>> Context::MeshServer(std::shared_ptr<const Credentials> leaf,
                                                           std::shared_ptr<const TrustBundle> roots,
                                                           const Offer& offer) {
  auto impl = NewMesh(Impl::Kind::kMeshServer, leaf.get(), std::move(roots), offer);
  if (!impl) return impl.error();
  return std::shared_ptr<const Context>(new Context(*std::move(impl)));
}

Result<std::shared_ptr<const Context>> Context::MeshClient(std::shared_ptr<const Credentials> leaf,
                                                           std::shared_ptr<const TrustBundle> roots,
                                                           const Offer& offer) {
  auto impl = NewMesh(Impl::Kind::kMeshClient, leaf.get(), std::move(roots), offer);
  if (!impl) return impl.error();
  return std::shared_ptr<const Context>(new Context(*std::move(impl)));
}

Result<std::shared_ptr<const Context>> Context::ForHttps(const HttpsOptions& options) {
  auto ctx = NewSslCtx({});
  if (!ctx) return ctx.error();
  auto impl = std::make_unique<Impl>();
  impl->kind = Impl::Kind::kHttps;
  impl->verify = options.verify;
  if (options.verify) {
    auto roots = LoadHttpsRoots(options);
    if (!roots) return roots.error();
    impl->https_roots = *std::move(roots);
  }
  if (Status loaded = LoadClientPair(options, ctx->get()); !loaded) return loaded.error();
  impl->ssl_ctx = *std::move(ctx);
  return std::shared_ptr<const Context>(new Context(std::move(impl)));
}

}  // namespace mooring::tls
