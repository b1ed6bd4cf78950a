#include "proxy/data/relay.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "proxy/data/leg_failure.h"

namespace mooring::data {
namespace {
using net::milliseconds;
using net::Stream;

// How long a leg may take over its last bytes: after a clean end the peer's own close, after a
// reset the bytes that came before it.
constexpr milliseconds kLastBytes{1'000};
// While a reset waits for the kernel to deliver, nothing reports progress: look again this often.
constexpr milliseconds kResetPoll{10};
// Bursts taken from one leg in one event before the others get their turn.
constexpr int kBurstsPerEvent = 4;
}  // namespace

Relay::Relay(net::Loop& loop, Stream& a, Stream& b, milliseconds idle_timeout,
             std::function<void(CloseReason)> on_over, const Stream* client, Exchanges* exchanges)
    : loop_(loop),
      a_(a),
      b_(b),
      idle_timeout_(idle_timeout),
      on_over_(std::move(on_over)),
      client_(client),
      exchanges_(exchanges),
      timer_(loop, [this] { OnTimer(); }) {}

void Relay::Start(std::optional<Stream::ReadResult> first) {
  state_ = State::kPumping;
  a_.SetObserver(this);
  b_.SetObserver(this);
  last_activity_ = loop_.now();
  if (idle_timeout_.count() > 0) timer_.Start(idle_timeout_);
  a_.WantRead(true);
  b_.WantRead(true);
  if (first) Take(b_, *first);
  // What came with the end of a handshake is inside the stream already and makes no event.
  if (state_ == State::kPumping && b_.BufferedInput()) Pump(b_);
  if (state_ == State::kPumping && a_.BufferedInput()) Pump(a_);
}

void Relay::OnReadable(Stream& stream) {
  if (state_ == State::kPumping) {
    Pump(stream);
  } else if (state_ == State::kClosing && stream.Discard() && Other(stream).Discard()) {
    Over();
  }
}

// Appetite is how much to take from `source` at once. What its sink refuses has to be kept, so a
// large burst is only for a sink with room for it. In a turn that is full nobody takes more than a
// record (turn.h).
std::size_t Relay::Appetite(Stream& source) {
  const net::MonotonicTime now = loop_.now();
  if (loop_.turn().IsFull(now) || !source.MayKeep()) return net::kRecord;
  if (source.load() != net::Load::kBulk || loop_.turn().ServesLight(now)) return net::kReadBurst;
  return std::clamp(Other(source).Room() / net::kRecord * net::kRecord, net::kReadBurst,
                    net::kLargeBurst);
}

// MayRead is false while memory is tight and the sink's kernel takes nothing; the sink says when it
// does (OnDrained).
bool Relay::MayRead(Stream& source) {
  if (source.MayKeep() || Other(source).TakesNow()) return true;
  source.WantRead(false);
  Other(source).AwaitRoom();
  return false;
}

void Relay::Pump(Stream& source) {
  // A stream that has to stand back is reported again in the next turn.
  if (source.load() >= net::Load::kHeavy && loop_.turn().IsFull(loop_.now()) &&
      !source.BufferedInput())
    return;
  for (int burst = 0; burst < kBurstsPerEvent; ++burst) {
    if (source.read_ended() || !MayRead(source)) return;
    Take(source, source.Read(Appetite(source)));
    if (state_ != State::kPumping || Other(source).pending() > 0) return;
    if (!source.BufferedInput()) return;
  }
}

void Relay::Take(Stream& source, const Stream::ReadResult& result) {
  Stream& sink = Other(source);
  switch (result.status) {
    case Stream::ReadStatus::kData:
      if (last_source_ != &source) NoteTurn(source);
      last_activity_ = loop_.now();
      loop_.turn().NoteMoved(result.bytes.size());
      if (tap_) tap_->Add(&source == client_, result.bytes);
      // Both have to be light: the receiver of a bulk stream may answer in small messages, and
      // those can wait.
      if (source.load() == net::Load::kLight && sink.load() == net::Load::kLight)
        loop_.turn().NoteLight(last_activity_);
      if (!sink.Write(result.bytes)) {
        Reset(sink);
        return;
      }
      if (sink.pending() > 0) source.WantRead(false);
      if (source.error() != 0) CheckEnds();
      return;
    case Stream::ReadStatus::kAgain: return;
    case Stream::ReadStatus::kTruncated: reason_ = CloseReason::kTlsTruncated; [[fallthrough]];
    case Stream::ReadStatus::kEnd:
      if (first_end_ == nullptr) first_end_ = &source;
      // The last end of all is the connection's: one packet for the close_notify and the FIN.
      if (sink.read_ended() && source.write_ended() && source.pending() == 0) {
        sink.Finish();
      } else {
        sink.EndWrite();
      }
      CheckEnds();
      return;
    case Stream::ReadStatus::kFailed: Reset(source); return;
  }
}

void Relay::NoteTurn(const Stream& source) noexcept {
  const net::MonotonicTime now = loop_.now();
  const bool first = last_source_ == nullptr;
  if (first) first_byte_ = now;
  if (exchanges_ != nullptr) exchanges_->Turned(&source == client_, first, last_activity_, now);
  last_source_ = &source;
}

void Relay::OnDrained(Stream& sink) {
  if (state_ == State::kPumping) {
    last_activity_ = loop_.now();
    Stream& source = Other(sink);
    if (!source.read_ended()) {
      source.WantRead(true);
      if (source.BufferedInput()) Pump(source);
    }
    if (state_ == State::kPumping) CheckEnds();
  } else if (state_ == State::kResetting) {
    OnTimer();
  }
}

void Relay::OnBroken(Stream& stream) {
  if (state_ == State::kPumping) {
    Reset(stream);
  } else if (state_ == State::kClosing || (state_ == State::kResetting && &stream == survivor_)) {
    Over();
  }
}

void Relay::CheckEnds() {
  // An end that could not be told for want of memory makes no event, and its peer would wait for it
  // for ever. What that peer has said by now is passed on first.
  for (Stream* leg : {&a_, &b_}) {
    if (leg->error() == 0 || leg->read_ended() || leg->BufferedInput()) continue;
    if (net::Unread(leg->fd()) == 0) return Reset(*leg);
  }
  const auto ended = [](const Stream& leg) {
    return leg.read_ended() && leg.write_ended() && leg.pending() == 0;
  };
  if (ended(a_) && ended(b_)) End(reason_);
}

void Relay::End(CloseReason reason) {
  reason_ = reason;
  state_ = State::kClosing;
  a_.Finish();
  b_.Finish();
  a_.BeginDiscard();
  b_.BeginDiscard();
  // Usually both peers have closed by now, and everything ends here.
  const bool a_ended = a_.Discard();
  const bool b_ended = b_.Discard();
  if (a_ended && b_ended) {
    Over();
    return;
  }
  timer_.Start(kLastBytes);
}

void Relay::Cut(CloseReason reason) noexcept {
  if (ended()) {
    Over();
    return;
  }
  ResetBoth(state_ == State::kPumping ? reason : reason_);
}

void Relay::ResetBoth(CloseReason reason) noexcept {
  reason_ = reason;
  a_.ResetOnClose();
  b_.ResetOnClose();
  Over();
}

bool Relay::BetweenExchanges(const Stream& client, milliseconds quiet) const {
  // A client that has ended its direction has said its last word, and waits.
  if (state_ != State::kPumping || client.read_ended() || last_source_ == &client) return false;
  if (loop_.now() - last_activity_ < quiet) return false;
  const auto rests = [](const Stream& leg) {
    return leg.pending() == 0 && !leg.BufferedInput() && net::Unsent(leg.fd()) == 0 &&
           net::Unread(leg.fd()) == 0;
  };
  return rests(a_) && rests(b_);
}

void Relay::CheckPeers() {
  if (state_ != State::kPumping) return;
  for (Stream* leg : {&a_, &b_}) {
    if (leg->PeerIsDead()) return ResetBoth(ReasonOf(*leg, Reached::kLive));
  }
}

void Relay::Reset(Stream& failed) {
  if (first_end_ == nullptr) first_end_ = &failed;
  // the kernel has found it dead
  if (failed.error() == ETIMEDOUT) return ResetBoth(ReasonOf(failed, Reached::kLive));
  reason_ = ReasonOf(failed, Reached::kLive);
  state_ = State::kResetting;
  survivor_ = &Other(failed);
  failed.WantRead(false);
  survivor_->WantRead(false);
  limit_ = loop_.now() + kLastBytes;
  OnTimer();
}

void Relay::OnTimer() {
  switch (state_) {
    case State::kPumping: {  // the idle limit, kept lazily: activity only notes the time
      const auto quiet = std::chrono::duration_cast<milliseconds>(loop_.now() - last_activity_);
      if (quiet < idle_timeout_) {
        timer_.Start(idle_timeout_ - quiet);
        return;
      }
      End(CloseReason::kIdleTimeout);
      return;
    }
    case State::kResetting:
      // A reset drops what the kernel still holds, so it has to wait for the acknowledgements.
      if (survivor_->pending() > 0 || net::Unsent(survivor_->fd()) > 0) {
        if (loop_.now() < limit_ && survivor_->error() == 0) {
          timer_.Start(kResetPoll);
          return;
        }
      }
      survivor_->ResetOnClose();
      Over();
      return;
    case State::kClosing: Over(); return;
    case State::kIdle:
    case State::kOver: return;
  }
}

void Relay::Over() {
  if (state_ == State::kOver) return;
  state_ = State::kOver;
  timer_.Stop();
  if (tap_) tap_->Close();
  // Bytes that were not taken in time (behind an idle limit) are lost: that must not look like a
  // clean end.
  if (a_.pending() > 0) a_.ResetOnClose();
  if (b_.pending() > 0) b_.ResetOnClose();
  a_.WantRead(false);
  b_.WantRead(false);
  on_over_(reason_);
}

}  // namespace mooring::data
