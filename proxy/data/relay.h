// Relay: two established legs, two pipes, each with its own end.
//
// Rules: bytes that the sink's kernel does not take stop the source until they are gone, so a direction
// keeps at most one burst (net::kReadBurst). While memory is tight nothing is read that would have to be kept: a record at a
// time, and only when the sink's kernel takes it; whoever waits is woken by its own sink, not by the memory. Bulk streams share each turn of the loop (net::kTurnBytes), so that a small
// message on another connection waits a bounded time. The end of one direction is passed on behind its bytes (FIN
// <-> close_notify) and leaves the other open. A reset is passed on as a reset, after the bytes that came
// before it, and never as a clean end. When both directions have ended, the legs close within a second.
// Knows nothing of identities. Owned by a connection; its loop's thread. Source: RFC 9293 3.6, RFC 8446 6.1.
#pragma once

#include <functional>
#include <optional>

#include "proxy/data/close_reason.h"
#include "proxy/net/loop.h"
#include "proxy/net/stream.h"

namespace mooring::data {

class Relay final : public net::StreamObserver {
 public:
  // `on_done` is called once, last of all, takes no memory; it may not destroy the Relay at once (it posts that). The streams must outlive the
  // Relay and be idle: handshakes done, nothing pending, not reading. idle_timeout 0: none.
  Relay(net::Loop& loop, net::Stream& a, net::Stream& b, net::milliseconds idle_timeout,
        std::function<void(CloseReason)> on_done);

  // Start begins to pump. `first`, if given, is what a Read of leg b has already delivered.
  void Start(std::optional<net::Stream::ReadResult> first = std::nullopt);

  // CheckPeers ends a relay one of whose peers has died; to be called every net::kLivenessCheck.
  void CheckPeers();

  // Cut ends both legs at once, by a reset, for a reason of the owner's (drain_timeout). What has ended cleanly already is not
  // reset after the fact.
  void Cut(CloseReason reason) noexcept;

  // BetweenExchanges: nobody owes `client`, one of the legs, an answer. The last byte came from the other leg, or none ever came;
  // nothing has moved for `quiet`, and nothing is on its way in our memory or the kernel's.
  bool BetweenExchanges(const net::Stream& client, net::milliseconds quiet) const;
  // End closes both legs cleanly (close_notify, FIN); only while BetweenExchanges, or bytes would be lost.
  void End(CloseReason reason) { Close(reason); }
  // ended: both directions have ended on our side; only the peers' own close may be outstanding.
  bool ended() const { return state_ == State::kClosing || state_ == State::kDone; }

  void OnReadable(net::Stream& stream) override;
  void OnDrained(net::Stream& stream) override;
  void OnBroken(net::Stream& stream) override;

 private:
  enum class State { kIdle, kPumping, kClosing, kResetting, kDone };

  net::Stream& Other(net::Stream& stream) { return &stream == &a_ ? b_ : a_; }
  std::size_t Appetite(net::Stream& source);
  bool MayRead(net::Stream& source);
  void Pump(net::Stream& source);
  void Take(net::Stream& source, const net::Stream::ReadResult& result);
  void CheckEnds();
  void Close(CloseReason reason);
  void Reset(net::Stream& failed);
  void OnTimer();
  void Done();

  net::Loop& loop_;
  net::Stream& a_;
  net::Stream& b_;
  const net::milliseconds idle_timeout_;
  const std::function<void(CloseReason)> on_done_;
  net::Timer timer_;  // idle while pumping, else the limit of the state
  State state_ = State::kIdle;
  CloseReason reason_ = CloseReason::kDone;
  const net::Stream* last_source_ = nullptr;  // the leg that the last bytes came from
  net::Stream* survivor_ = nullptr;  // kResetting: the leg that still gets its last bytes
  net::MonotonicTime last_activity_{};
  net::MonotonicTime limit_{};
};

}  // namespace mooring::data
