// Session: one TLS connection as a function of bytes. No sockets, no clock but the wall clock of
// certificate checks, no buffers of its own beyond a partial record.
//
// The caller reads ciphertext from its socket into scratch memory and passes it in a Wire, whose
// `out` it sends or keeps after every call. Read takes all of the Wire's `in` before it answers
// kWantInput or kClosed. One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "tls/alert.h"
#include "tls/context.h"
#include "tls/failure.h"
#include "tls/wire.h"

namespace mooring::tls {

// Progress is how a call ended.
enum class Progress {
  kDone,       // handshake finished; Read: bytes were delivered
  kWantInput,  // feed more ciphertext
  kClosed,     // Read only: the peer sent close_notify
  kFailed,     // fatal; failure() says why, Wire::out may hold an alert; only destroying is allowed
               // now
};

// Facts are what a handshake has settled, by the names of OpenSSL and IANA. The strings are the
// library's and stay.
struct Facts {
  const char* version = "";  // "TLSv1.3"
  const char* cipher = "";   // "TLS_AES_128_GCM_SHA256"
  const char* group = "";    // "X25519MLKEM768"
  bool resumed = false;      // the handshake was an abbreviated one
};

// PrepareThread takes what a thread's first session would: the C library ends the process where it
// has no memory to note that an object of a thread is to be destroyed with it. To be called when a
// thread that will serve sessions begins.
void PrepareThread();

class Session final {
 public:
  // TicketGate says whether a caller gets a ticket to resume by. It is asked inside Handshake, at
  // most a few times, once the caller has proven who it is; judgement() and Rejudge are good then.
  // What it throws ends the handshake as kMemory.
  using TicketGate = std::function<bool()>;

  // Accept starts the accepting side of a mesh connection. Without `gives_ticket` every caller who
  // is believed gets a ticket.
  static std::unique_ptr<Session> Accept(std::shared_ptr<const Context> context,
                                         TicketGate gives_ticket = {});
  // Connect starts the dialling side: sends `sni`, accepts exactly `expected`. A session whose SNI
  // cannot be sent (empty, or over 255 bytes), or whose context is of another kind, is failed from
  // the start. `endpoint` names the place that is dialled, in any form: with it the session resumes
  // by a ticket that the same identity gave at the same place, if there is one; without it every
  // handshake is a full one.
  static std::unique_ptr<Session> Connect(std::shared_ptr<const Context> context,
                                          const std::string& sni, const authz::ServiceId& expected,
                                          const std::string& endpoint = {});
  // ConnectHttps dials an agent; `host` is the DNS name or IP address literal that its certificate
  // must carry.
  static std::unique_ptr<Session> ConnectHttps(std::shared_ptr<const Context> context,
                                               const std::string& host);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Handshake goes on with the handshake. kDone means that this side is finished: on the dialling
  // side of TLS 1.3 the peer may still refuse our certificate, by an alert that Read then reports
  // (RFC 8446 4.4.2.4).
  Progress Handshake(Wire& wire);

  // Read decrypts into `plain` until it is full or the input is used up; `*length` is what it
  // delivered, which may be more than 0 with every Progress (kDone: `plain` is full or more may
  // follow at once). Requires a finished handshake.
  Progress Read(Wire& wire, std::span<std::uint8_t> plain, std::size_t* length);

  // Write encrypts all of `plain`. False: the session has failed, or CloseNotify was called.
  bool Write(Wire& wire, std::span<const std::uint8_t> plain);

  // CloseNotify ends our direction; Read goes on working (RFC 8446 6.1). Idempotent. Never call it
  // before an abort: the peer would take it for a clean end. Without memory for it: std::bad_alloc.
  void CloseNotify(Wire& wire);

  // SendAlert ends the session by a fatal alert of ours (RFC 8446 6.2); nothing may be written
  // after it. Requires a finished handshake; does nothing after CloseNotify or a failure.
  void SendAlert(Wire& wire, Alert alert);

  bool handshake_done() const;
  bool resumed() const;  // the handshake was an abbreviated one
  // MayFailOverTicket: a ticket was offered and the peer has not yet shown who it is. If the
  // handshake ends here, for whatever reason but its certificate, a full one may succeed.
  bool MayFailOverTicket() const;
  // TicketFailed: the handshake has ended while MayFailOverTicket. The next one at this endpoint is
  // a full one, and after a second failure all of them, as long as the context lives.
  void TicketFailed() const;
  Failure failure() const;
  int alert() const;                        // of kAlert: TLS alert description, else -1
  const std::string& failure_text() const;  // printable detail for logs, one line
  // Judgement of the peer's certificate; judgement().id is the peer once the handshake is done
  // (mesh).
  const Judgement& judgement() const;
  // Rejudge judges the chain that the peer showed in the handshake against other roots, at the time
  // of that handshake. Mesh only: for https it repeats judgement().
  Judgement Rejudge(const TrustBundle& roots) const;
  // ChainKey is equal for two sessions that Rejudge would treat alike: the same chain, role and
  // expectation, judged within the same ten minutes. For remembering verdicts; no text.
  std::string ChainKey() const;

  Facts facts() const;          // once the handshake is done
  std::string version() const;  // "TLSv1.3"
  std::string cipher() const;
  std::string group() const;         // "X25519MLKEM768"
  std::string received_sni() const;  // accepting side; empty if none was sent

  struct Impl;

 private:
  explicit Session(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mooring::tls
