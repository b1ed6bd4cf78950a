// Private to session.cc and session_data.cc: what a Session is made of.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tls/boringssl.h"
#include "tls/context_impl.h"
#include "tls/record_layer.h"
#include "tls/session.h"

namespace mooring::tls {

struct Session::Impl {
  explicit Impl(std::shared_ptr<const Context> shared) : context(std::move(shared)) {}

  const Context::Impl& shared() const { return context->impl(); }
  Judgement Judge(const TrustBundle& roots) const;
  Judgement JudgeNow() const;
  std::vector<std::span<const std::uint8_t>> PeerChain() const;
  void JudgePeer();
  void NotePeer() const;
  Progress RefuseResumed();
  Progress FailRefused();  // by the judgement
  Progress Fail(Failure kind, std::string text);
  Progress FailFromQueue();
  bool HelloIsTooLong();
  bool GivesTicket();  // accepting side; judges a resumed session
  Progress Read(std::span<std::uint8_t> plain, std::size_t* length);

  std::shared_ptr<const Context> context;
  Wire* wire = nullptr;                      // of the call in progress
  std::optional<authz::ServiceId> expected;  // mesh, dialling side
  std::string place;                         // mesh, dialling side: whose tickets; empty: none
  bool offered_ticket = false;
  bool doubtful_ticket = false;
  WallTime ticket_proven_at;      // of the offered ticket
  TicketGate ticket_gate;         // accepting side; empty: everybody gets one
  bool took_first_group = false;  // as remembered
  std::string host;               // https
  bool judged = false;
  WallTime judged_at;
  Judgement judgement;
  bool starved = false;  // memory ran out below BoringSSL, where no exception may pass
  Failure failure = Failure::kNone;
  int alert = -1;
  std::string failure_text;
  // the first bytes that came: of a ClientHello, up to its length field
  std::array<std::uint8_t, 9> head{};
  std::size_t head_size = 0;
  bool handshake_done = false;
  bool ask_ssl = true;  // SSL_read has more to say
  bool close_notify_sent = false;
  bool peer_closed = false;
  RecordLayer records;
  bssl::UniquePtr<SSL> ssl;  // last, so that it goes first: its BIO points at this object
};

// Attach lends a Wire to the BIO for one call, and starts that call with an empty error queue,
// which SSL_get_error reads.
class Attach final {
 public:
  Attach(Session::Impl& impl, Wire& wire) : impl_(impl) {
    ERR_clear_error();
    impl_.wire = &wire;
  }
  ~Attach() {
    impl_.wire = nullptr;
    ERR_clear_error();
  }
  Attach(const Attach&) = delete;
  Attach& operator=(const Attach&) = delete;

 private:
  Session::Impl& impl_;
};

}  // namespace mooring::tls
