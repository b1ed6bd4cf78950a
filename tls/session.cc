#include "tls/session.h"

#include <openssl/rand.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

#include "authz/ip_literal.h"
#include "authz/text.h"
#include "tls/diagnosis.h"
#include "tls/https.h"
#include "tls/peer_memory.h"
#include "tls/session_impl.h"

namespace mooring::tls {
namespace {

constexpr std::size_t kDetailLimit = 600;  // bytes of a refusal's detail in failure_text

// The BIO's callbacks and the verifier run under BoringSSL, which no exception may cross.

int ReadWire(BIO* bio, char* data, int length) {
  BIO_clear_retry_flags(bio);
  auto* impl = static_cast<Session::Impl*>(BIO_get_data(bio));
  const std::span<std::uint8_t> room(reinterpret_cast<std::uint8_t*>(data),
                                     static_cast<std::size_t>(std::max(length, 0)));
  const std::size_t count = impl->wire == nullptr ? 0 : impl->records.ToSsl(*impl->wire, room);
  if (count > 0) return static_cast<int>(count);
  BIO_set_retry_read(bio);
  return -1;
}

int WriteWire(BIO* bio, const char* data, int length) {
  BIO_clear_retry_flags(bio);
  auto* impl = static_cast<Session::Impl*>(BIO_get_data(bio));
  if (impl->wire == nullptr || length < 0) return -1;
  try {
    const std::span<const std::uint8_t> records(reinterpret_cast<const std::uint8_t*>(data),
                                                static_cast<std::size_t>(length));
    return impl->records.FromSsl(*impl->wire, records) ? length : -1;
  } catch (const std::bad_alloc&) {
    impl->starved = true;
    return -1;
  }
}

long ControlWire(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

const BIO_METHOD* WireMethod() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");
    if (made == nullptr || BIO_meth_set_read(made, ReadWire) != 1 ||
        BIO_meth_set_write(made, WriteWire) != 1 || BIO_meth_set_ctrl(made, ControlWire) != 1) {
      throw std::bad_alloc();
    }
    return made;
  }();
  return method;
}

ssl_verify_result_t VerifyPeer(SSL* ssl, std::uint8_t* out_alert) {
  auto* impl = static_cast<Session::Impl*>(SSL_get_app_data(ssl));
  try {
    impl->JudgePeer();
    if (impl->judgement.refusal == Refusal::kNone) {
      if (SSL_is_server(ssl) != 0) BoundSession(ssl);
      return ssl_verify_ok;
    }
    *out_alert = static_cast<std::uint8_t>(AlertFor(impl->judgement.refusal));
  } catch (...) {
    impl->starved = true;
    impl->judgement.refusal = Refusal::kUnknownCa;
    *out_alert = SSL_AD_INTERNAL_ERROR;
  }
  return ssl_verify_invalid;
}

// SendOneShare spares the key pair of the second group that a ClientHello carries for peers that do
// not take the first. The others are still offered; a peer that wants one now asks for it, at the
// price of a round trip (RFC 8446 4.1.4).
void SendOneShare(SSL* ssl, std::uint16_t group) {
#if BORINGSSL_API_VERSION >= 20
  SSL_set1_client_key_shares(ssl, &group, 1);
#else
  (void)ssl;
  (void)group;
#endif
}

// NewSsl makes an SSL over the wire BIO. BoringSSL out of memory is std::bad_alloc, as it is for
// us.
bssl::UniquePtr<SSL> NewSsl(Session::Impl& impl) {
  bssl::UniquePtr<SSL> ssl(SSL_new(impl.shared().ssl_ctx.get()));
  bssl::UniquePtr<BIO> bio(BIO_new(WireMethod()));
  if (!ssl || !bio) throw std::bad_alloc();
  BIO_set_data(bio.get(), &impl);
  BIO_set_init(bio.get(), 1);
  BIO* shared = bio.release();
  SSL_set_bio(ssl.get(), shared, shared);  // takes the one reference for both directions
  if (SSL_set_app_data(ssl.get(), &impl) != 1) throw std::bad_alloc();
  SSL_set_custom_verify(ssl.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, VerifyPeer);
  SSL_set_renegotiate_mode(ssl.get(), ssl_renegotiate_never);
  // Frees after the handshake what only handshakes need; the peer's chain stays, in the session.
  SSL_set_shed_handshake_config(ssl.get(), 1);
  return ssl;
}

// NotSni says why BoringSSL does not take a name.
std::string NotSni(const std::string& name) {
  std::string text = '"' + authz::Shortened(name) + "\" cannot be sent as SNI";
  if (name.size() > TLSEXT_MAXLEN_host_name) {
    text += ": it has " + std::to_string(name.size()) + " bytes, and TLS takes " +
            std::to_string(TLSEXT_MAXLEN_host_name);
  }
  return text;
}

}  // namespace

std::vector<std::span<const std::uint8_t>> Session::Impl::PeerChain() const {
  std::vector<std::span<const std::uint8_t>> chain;
  const STACK_OF(CRYPTO_BUFFER)* certificates = SSL_get0_peer_certificates(ssl.get());
  const std::size_t count = certificates == nullptr ? 0 : sk_CRYPTO_BUFFER_num(certificates);
  for (std::size_t i = 0; i < count; ++i) {
    const CRYPTO_BUFFER* der = sk_CRYPTO_BUFFER_value(certificates, i);
    chain.emplace_back(CRYPTO_BUFFER_data(der), CRYPTO_BUFFER_len(der));
  }
  return chain;
}

Judgement Session::Impl::Judge(const TrustBundle& roots) const {
  const Purpose purpose = shared().kind == Context::Impl::Kind::kMeshServer
                              ? Purpose::kPeerIsClient
                              : Purpose::kPeerIsServer;
  Judgement result = roots.Judge(PeerChain(), purpose, judged_at);
  if (result.refusal == Refusal::kNone && expected && result.id != *expected) {
    result.refusal = Refusal::kWrongIdentity;
    result.detail = "the peer is " + authz::Shortened(result.id.Uri(), kDetailLimit / 2) +
                    ", wanted " + authz::Shortened(expected->Uri(), kDetailLimit / 2);
  }
  return result;
}

void Session::Impl::JudgePeer() {
  judged_at = std::chrono::system_clock::now();
  judgement = JudgeNow();
  judged = true;
  ClearErrors();
}

Judgement Session::Impl::JudgeNow() const {
  if (shared().kind != Context::Impl::Kind::kHttps) return Judge(*shared().roots);
  if (!shared().verify) return {};
  return JudgeHost(shared().https_roots.get(), PeerChain(), host, judged_at);
}

Progress Session::Impl::Fail(Failure kind, std::string text) {
  failure = kind;
  failure_text = std::move(text);
  return Progress::kFailed;
}

// A ClientHello that announces too much in its first record, of which BoringSSL would wait for the
// end (RFC 8446 4 and 5.1). What is split into smaller records BoringSSL finds.
bool Session::Impl::HelloIsTooLong() {
  constexpr std::uint8_t kHandshakeRecord = 22;
  constexpr std::uint8_t kClientHello = 1;
  if (head_size == head.size()) return false;
  const std::size_t count = std::min(wire->in.size(), head.size() - head_size);
  std::copy_n(wire->in.begin(), count, head.begin() + static_cast<std::ptrdiff_t>(head_size));
  head_size += count;
  if (SSL_is_server(ssl.get()) == 0) return false;
  if (head_size < head.size() || head[0] != kHandshakeRecord || head[5] != kClientHello)
    return false;
  const std::size_t length = std::size_t{head[6]} << 16U | std::size_t{head[7]} << 8U | head[8];
  const std::size_t record = std::size_t{head[3]} << 8U | head[4];
  return record >= 4 && length > kMostHandshakeMessage;
}

Progress Session::Impl::FailFromQueue() {
  if (starved) return Fail(Failure::kMemory, "no memory was to be had");
  Diagnosis diagnosis = Diagnose(!handshake_done);
  alert = diagnosis.alert;
  if (diagnosis.failure == Failure::kNotTls && shared().kind == Context::Impl::Kind::kHttps) {
    const std::string_view came(reinterpret_cast<const char*>(head.data()), head_size);
    return Fail(diagnosis.failure, std::string(NotHttps(came)) + " (" + diagnosis.text + ')');
  }
  if (diagnosis.failure != Failure::kCertificate)
    return Fail(diagnosis.failure, std::move(diagnosis.text));
  // BoringSSL refuses some certificates before, or instead of, asking VerifyPeer.
  if (judgement.refusal == Refusal::kNone) {
    judgement.refusal =
        diagnosis.refusal == Refusal::kNone ? Refusal::kMalformed : diagnosis.refusal;
    judgement.detail = diagnosis.text;
  }
  return FailRefused();
}

Progress Session::Impl::FailRefused() {
  return Fail(Failure::kCertificate, std::string(RefusalName(judgement.refusal)) + ": " +
                                         judgement.detail.substr(0, kDetailLimit));
}

void Session::Impl::NotePeer() const {
  const bool first = SSL_get_group_id(ssl.get()) == shared().first_group;
  if (first != took_first_group) shared().memory->NoteGroup(place, first);
  if (doubtful_ticket && SSL_session_reused(ssl.get()) == 1) shared().memory->TicketServed(place);
}

Progress Session::Impl::RefuseResumed() {
  SSL_send_fatal_alert(ssl.get(), static_cast<std::uint8_t>(AlertFor(judgement.refusal)));
  return FailRefused();
}

void PrepareThread() {
  RecordLayer::PrepareThread();
  // BoringSSL's own of this thread: its random numbers and its error queue.
  std::uint8_t byte = 0;
  RAND_bytes(&byte, 1);
  OPENSSL_PUT_ERROR(SSL, ERR_R_INTERNAL_ERROR);
  ERR_clear_error();
}

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::~Session() = default;

std::unique_ptr<Session> Session::Accept(std::shared_ptr<const Context> context,
                                         TicketGate gives_ticket) {
  auto impl = std::make_unique<Impl>(std::move(context));
  impl->ticket_gate = std::move(gives_ticket);
  impl->ssl = NewSsl(*impl);
  SSL_set_accept_state(impl->ssl.get());
  if (impl->shared().kind != Context::Impl::Kind::kMeshServer) {
    impl->Fail(Failure::kProtocol, "this context is not for accepting");
  }
  return std::unique_ptr<Session>(new Session(std::move(impl)));
}

std::unique_ptr<Session> Session::Connect(std::shared_ptr<const Context> context,
                                          const std::string& sni, const authz::ServiceId& expected,
                                          const std::string& endpoint) {
  auto impl = std::make_unique<Impl>(std::move(context));
  impl->expected = expected;
  impl->ssl = NewSsl(*impl);
  SSL_set_connect_state(impl->ssl.get());
  if (impl->shared().kind != Context::Impl::Kind::kMeshClient) {
    impl->Fail(Failure::kProtocol, "this context is not for dialling");
  } else if (SSL_set_tlsext_host_name(impl->ssl.get(), sni.c_str()) != 1) {
    ClearErrors();
    impl->Fail(Failure::kProtocol, NotSni(sni));
  } else if (!endpoint.empty()) {
    impl->place = endpoint + ' ' + expected.Uri();
    const PeerMemory::Hints hints =
        impl->shared().memory->Use(impl->place, std::chrono::system_clock::now());
    if (hints.ticket) {
      impl->offered_ticket = true;
      impl->ticket_proven_at = hints.proven_at;
      SSL_set_session(impl->ssl.get(), hints.ticket.get());
    }
    if (hints.takes_first_group) SendOneShare(impl->ssl.get(), impl->shared().first_group);
    impl->took_first_group = hints.takes_first_group;
    impl->doubtful_ticket = hints.doubtful;
  }
  return std::unique_ptr<Session>(new Session(std::move(impl)));
}

std::unique_ptr<Session> Session::ConnectHttps(std::shared_ptr<const Context> context,
                                               const std::string& host) {
  auto impl = std::make_unique<Impl>(std::move(context));
  impl->host = host;
  impl->ssl = NewSsl(*impl);
  SSL_set_connect_state(impl->ssl.get());
  if (impl->shared().kind != Context::Impl::Kind::kHttps) {
    impl->Fail(Failure::kProtocol, "this context is not for https");
  } else if (!authz::IsIpLiteral(host) &&
             SSL_set_tlsext_host_name(impl->ssl.get(), host.c_str()) != 1) {
    ClearErrors();
    impl->Fail(Failure::kProtocol, NotSni(host));
  }
  return std::unique_ptr<Session>(new Session(std::move(impl)));
}

Progress Session::Handshake(Wire& wire) {
  if (impl_->failure != Failure::kNone) return Progress::kFailed;
  if (impl_->handshake_done) return Progress::kDone;
  const Attach attached(*impl_, wire);
  if (impl_->HelloIsTooLong()) {
    SSL_send_fatal_alert(impl_->ssl.get(), SSL_AD_ILLEGAL_PARAMETER);
    return impl_->Fail(Failure::kProtocol, "EXCESSIVE_MESSAGE_SIZE");
  }
  const int result = SSL_do_handshake(impl_->ssl.get());
  if (result == 1) {
    if (impl_->starved) return impl_->FailFromQueue();  // in judging the caller for a ticket
    // BoringSSL asks the verifier about full handshakes, and about resumed ones on the dialling
    // side only.
    if (!impl_->judged) impl_->JudgePeer();
    if (impl_->judgement.refusal != Refusal::kNone) return impl_->RefuseResumed();
    impl_->ticket_gate = nullptr;
    if (!impl_->place.empty()) impl_->NotePeer();
    impl_->handshake_done = true;
    impl_->records.Begin(impl_->ssl.get(), impl_->shared().most_records_per_key);
    return Progress::kDone;
  }
  if (SSL_get_error(impl_->ssl.get(), result) == SSL_ERROR_WANT_READ) return Progress::kWantInput;
  // What a resumed chain is refused for, its age say, holds for the other tickets of that place,
  // too. A full handshake may show a newer one.
  const bool refused = impl_->judged && impl_->judgement.refusal != Refusal::kNone;
  if (refused && impl_->offered_ticket && SSL_session_reused(impl_->ssl.get()) == 1) {
    impl_->shared().memory->Forget(impl_->place);
  }
  return impl_->FailFromQueue();
}

bool Session::handshake_done() const { return impl_->handshake_done; }
bool Session::resumed() const {
  return impl_->handshake_done && SSL_session_reused(impl_->ssl.get()) == 1;
}

bool Session::MayFailOverTicket() const {
  return impl_->offered_ticket && !impl_->judged && impl_->failure != Failure::kCertificate &&
         impl_->failure != Failure::kMemory;
}

void Session::TicketFailed() const {
  if (!impl_->place.empty()) impl_->shared().memory->TicketFailed(impl_->place);
}

Failure Session::failure() const { return impl_->failure; }
int Session::alert() const { return impl_->alert; }
const std::string& Session::failure_text() const { return impl_->failure_text; }
const Judgement& Session::judgement() const { return impl_->judgement; }

Judgement Session::Rejudge(const TrustBundle& roots) const {
  if (impl_->shared().kind == Context::Impl::Kind::kHttps) return impl_->judgement;
  return impl_->Judge(roots);
}

std::string Session::ChainKey() const {
  const auto slot =
      std::chrono::duration_cast<std::chrono::minutes>(impl_->judged_at.time_since_epoch()) / 10;
  std::string key = std::to_string(slot.count());
  key += SSL_is_server(impl_->ssl.get()) ? 's' : 'c';
  if (impl_->expected) key += impl_->expected->Uri();
  for (const std::span<const std::uint8_t> certificate : impl_->PeerChain()) {
    key += '\0';
    key.append(reinterpret_cast<const char*>(certificate.data()), certificate.size());
  }
  return key;
}

Facts Session::facts() const {
  Facts facts;
  if (!impl_->handshake_done) return facts;
  facts.version = SSL_get_version(impl_->ssl.get());
  if (const SSL_CIPHER* cipher = SSL_get_current_cipher(impl_->ssl.get()))
    facts.cipher = SSL_CIPHER_standard_name(cipher);
  if (const char* group = SSL_get_group_name(SSL_get_group_id(impl_->ssl.get())))
    facts.group = group;
  facts.resumed = resumed();
  return facts;
}

std::string Session::version() const { return facts().version; }
std::string Session::cipher() const { return facts().cipher; }
std::string Session::group() const { return facts().group; }

std::string Session::received_sni() const {
  const char* name = SSL_get_servername(impl_->ssl.get(), TLSEXT_NAMETYPE_host_name);
  return name != nullptr && SSL_is_server(impl_->ssl.get()) ? authz::Shortened(name, 255) : "";
}

}  // namespace mooring::tls
