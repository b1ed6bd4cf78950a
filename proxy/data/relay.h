// Relay: moves bytes between two established legs, in both directions, until both directions have
// ended.
//
// Flow: when the sink's kernel takes no more, its source is not read until all is gone. So a
// direction keeps one burst at most (burst.h). While memory is tight nothing is read that might
// have to be kept: one record at a time, and only while the sink's kernel takes it. A source that
// waits for that is woken by its sink, not by memory that comes free. Streams share the loop by
// turn.h.
//
// Ends: the end of one direction is passed on behind its bytes, as a FIN or a close_notify, and
// leaves the other direction open. A reset is passed on as a reset, behind the bytes that came
// before it, and never as a clean end. A peer found dead ends both legs at once, by a reset. When
// both directions have ended, both legs close within a second.
//
// It knows nothing of identities. A connection owns it, on the loop's thread. Source: RFC 9293 3.6,
// RFC 8446 6.1.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "proxy/data/close_reason.h"
#include "proxy/data/exchanges.h"
#include "proxy/data/tap.h"
#include "proxy/net/loop.h"
#include "proxy/net/stream.h"

namespace mooring::data {

class Relay final : public net::StreamObserver {
 public:
  // Handshakes on both legs are done. The streams outlive the Relay. idle_timeout 0: none.
  // `client` is the leg, a or b, that asks; its turns are told to `exchanges`, which outlives the
  // Relay, or null. `on_over` is called once, as the last thing that the Relay does. It needs no
  // memory. It may not destroy the Relay at once: the Relay's own code is on the stack.
  Relay(net::Loop& loop, net::Stream& a, net::Stream& b, net::milliseconds idle_timeout,
        std::function<void(CloseReason)> on_over, const net::Stream* client = nullptr,
        Exchanges* exchanges = nullptr);

  // Start begins to move bytes. `first` is what a Read of leg b has delivered already, if there was
  // one.
  void Start(std::optional<net::Stream::ReadResult> first = std::nullopt);

  // CheckPeers ends the relay if one of the peers has died. Call it every net::kLivenessCheck.
  void CheckPeers();

  // Cut ends both legs at once, by a reset, for a reason of the owner's. Where both directions have
  // ended cleanly already, nothing is reset, and the reason stays that of the clean end.
  void Cut(CloseReason reason) noexcept;

  // BetweenExchanges: `client`, one of the legs, is owed no answer. The last byte came from the
  // other leg, or none ever came. Nothing has moved for `quiet`, and nothing is under way in our
  // memory or the kernel's.
  bool BetweenExchanges(const net::Stream& client, net::milliseconds quiet) const;
  // End ends both legs cleanly, by close_notify and FIN. Its owner calls it only while
  // BetweenExchanges: otherwise bytes would be lost.
  void End(CloseReason reason);
  // ended: both directions have ended on our side. All that may be left to come is the peers' own
  // close.
  bool ended() const { return state_ == State::kClosing || state_ == State::kOver; }

  // pumping: bytes are taken from whoever has not ended.
  bool pumping() const { return state_ == State::kPumping; }
  // last_activity is when the last byte came, from either side, or the relay began.
  net::MonotonicTime last_activity() const { return last_activity_; }
  // Attach has the payload copied from now on; the tap is closed at the end.
  void Attach(std::shared_ptr<Tap> tap) { tap_ = std::move(tap); }

  // first_end is the leg that has ended first, or failed; null: neither has.
  const net::Stream* first_end() const { return first_end_; }

  // first_byte is when the first byte came, from either side.
  std::optional<net::MonotonicTime> first_byte() const { return first_byte_; }

  void OnReadable(net::Stream& stream) override;
  void OnDrained(net::Stream& stream) override;
  void OnBroken(net::Stream& stream) override;

 private:
  enum class State { kIdle, kPumping, kClosing, kResetting, kOver };

  net::Stream& Other(net::Stream& stream) { return &stream == &a_ ? b_ : a_; }
  std::size_t Appetite(net::Stream& source);
  bool MayRead(net::Stream& source);
  void Pump(net::Stream& source);
  void Take(net::Stream& source, const net::Stream::ReadResult& result);
  void NoteTurn(const net::Stream& source) noexcept;
  void CheckEnds();
  void Reset(net::Stream& failed);
  void ResetBoth(CloseReason reason) noexcept;
  void OnTimer();
  void Over();

  net::Loop& loop_;
  net::Stream& a_;
  net::Stream& b_;
  const net::milliseconds idle_timeout_;
  const std::function<void(CloseReason)> on_over_;
  const net::Stream* const client_;
  Exchanges* const exchanges_;
  net::Timer timer_;          // idle while pumping, else the limit of the state
  std::shared_ptr<Tap> tap_;  // nearly always null
  State state_ = State::kIdle;
  CloseReason reason_ = CloseReason::kDone;
  const net::Stream* last_source_ = nullptr;  // the leg that the last bytes came from
  const net::Stream* first_end_ = nullptr;
  // in kResetting: the leg that still gets its last bytes
  net::Stream* survivor_ = nullptr;
  net::MonotonicTime last_activity_{};
  std::optional<net::MonotonicTime> first_byte_;
  net::MonotonicTime limit_{};
};

}  // namespace mooring::data
