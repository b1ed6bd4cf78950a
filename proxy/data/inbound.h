// Inbound: a caller on the public listener. TLS, then identity, then intentions, and only then the
// app.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "proxy/data/connection.h"
#include "proxy/data/dialer.h"
#include "proxy/data/host.h"
#include "proxy/data/live.h"
#include "proxy/data/snapshot.h"
#include "proxy/log/log.h"
#include "proxy/net/stream.h"

namespace mooring::data {

// The methods stand in the order of a connection's life.
class Inbound final : public Connection, public net::StreamObserver, public Live::Owner {
 public:
  // `caller` is taken, or nothing of it if this throws.
  Inbound(Host& host, net::UniqueFd&& caller, const net::SocketAddress& peer);
  ~Inbound() override;

  void Begin() override;
  void Cut(CloseReason reason) noexcept override;
  void OnSnapshot(Judge& judge, net::MonotonicTime changed) override;
  void OnSweep() override;
  bool OwesAnswer() const override { return net::Unread(caller_.fd()) > 0; }
  bool IsAwaited() const override;
  bool EndIfQuiet(net::milliseconds quiet) override;
  void OnEscaped() noexcept override;
  void ShowNow(ConnectionView* view) override;
  void Feed() noexcept override {
    if (stage_ == Stage::kRelay) live_->Feed();
  }
  bool Attach(const std::shared_ptr<Tap>& tap) override {
    if (stage_ == Stage::kRelay) live_->Attach(tap);
    return stage_ == Stage::kRelay;
  }

 private:
  enum class Stage { kHandshake, kDial, kRelay, kRefusing, kOver };

  void OnReadable(net::Stream& stream) override;
  void OnDrained(net::Stream& stream) override;
  void OnBroken(net::Stream& stream) override;

  void ContinueHandshake();
  void NoteProven();
  void OnHandshakeFailed();
  void Authorize();
  // RefuseAtOnce refuses a caller that is not worth a handshake.
  void RefuseAtOnce(const Objection& objection);
  void DialApp();
  void OnDialed(net::UniqueFd fd, int error);
  void OnDeadline();

  // Refuse ends a caller that gets no app: its alert is let out, then the connection closes.
  // `alert` goes to a caller whose handshake is done; the others have had that of the handshake.
  void Refuse(CloseReason reason, log::Level level, log::Literal message, const std::string& detail,
              tls::Alert alert = tls::Alert::kInternalError);
  // LetOut gives the peer a moment to read what was sent last.
  void LetOut(CloseReason reason);
  // Of the live part: an objection ends it with an alert to the caller.
  bool IsSettled() noexcept override { return BeforeEvent(); }
  void OnObjection(const Objection& objection, Manner manner) override;
  void OnLiveOver(CloseReason reason) noexcept override;
  // NoteObjection keeps what came to stand against a caller that had been let in.
  void NoteObjection(const Objection& objection);
  microseconds Since(net::MonotonicTime then) {
    return std::chrono::duration_cast<microseconds>(host_.loop().now() - then);
  }
  // Over is the end of every life.
  void Over(CloseReason reason) noexcept;

  Host& host_;
  std::shared_ptr<const Snapshot> begun_with_;  // the snapshot of the handshake
  net::Timer deadline_;                         // of the handshake, or of the refusal
  net::Stream caller_;
  net::MonotonicTime heard_;  // of the caller, in its handshake
  net::MonotonicTime dial_began_{};
  Stage stage_ = Stage::kHandshake;
  CloseReason refusal_ = CloseReason::kDone;
  std::size_t next_app_address_ = 0;
  std::optional<Dialer> dialer_;
  std::optional<net::Stream> app_;
  std::optional<Live> live_;
};

}  // namespace mooring::data
