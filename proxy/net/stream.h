// Stream: one leg of a connection. It is a connected socket, plaintext or TLS.
//
// It reads into the loop's scratch memory, and keeps of its own only what the kernel would not take
// at once. It knows nothing of the other leg, of identities or of time limits. It belongs to its
// owner, on its loop's thread.
//
// Half-close: reading and writing end separately. The end of our writing is a FIN on a plain leg,
// and a close_notify on a TLS leg. The FIN of a TLS leg is held back until Finish, because some
// peers give up the whole connection at a FIN (RFC 8446 6.1).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "proxy/net/burst.h"
#include "proxy/net/liveness.h"
#include "proxy/net/load.h"
#include "proxy/net/loop.h"
#include "proxy/net/memory_meter.h"
#include "proxy/net/socket.h"
#include "tls/session.h"

namespace mooring::net {

class Stream;

// StreamObserver is told what has happened to a Stream. Inside a call it may destroy the Stream. It
// is never called from inside one of the Stream's own methods.
class StreamObserver {
 public:
  // the socket has bytes, an end or an error: call Read
  virtual void OnReadable(Stream& stream) = 0;
  // the kernel has taken all that was pending, or takes more again (AwaitRoom)
  virtual void OnDrained(Stream& stream) = 0;
  // The leg has failed while nobody was reading it, or the kernel cannot watch it (IsShortage).
  // error() has the errno.
  virtual void OnBroken(Stream& stream) = 0;

 protected:
  ~StreamObserver() = default;
};

class Stream final {
 public:
  enum class ReadStatus {
    kData,       // at least one byte
    kAgain,      // nothing now: wait for OnReadable
    kEnd,        // the peer ended its direction: FIN (plain) or close_notify (TLS)
    kTruncated,  // TLS: FIN without close_notify
    kFailed,     // a reset, a dead peer or a TLS failure: error() and session() say which
  };
  struct ReadResult {
    ReadStatus status;
    // in the loop's scratch memory, until the next call on any Stream of the loop
    std::span<const std::uint8_t> bytes;
  };

  // The observer must outlive the Stream. `fd` is connected and non-blocking.
  Stream(Loop& loop, UniqueFd fd, StreamObserver* observer);
  ~Stream();  // closes at once, without close_notify; a FIN, or a reset after ResetOnClose
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // StartTls makes the stream a TLS leg, before any byte has passed. Handshake drives it from then
  // on, at every OnReadable with `readable` true, as long as it answers kWantInput. The side that
  // dials calls it once with false before, to send the first message. When it answers kFailed, the
  // alert is on its way already.
  void StartTls(std::unique_ptr<tls::Session> session);
  tls::Progress Handshake(bool readable);
  tls::Session* session() { return session_.get(); }
  // handshake_bytes is how much memory the handshake may hold: all bytes that came, and those of
  // ours that the kernel did not take.
  std::size_t handshake_bytes() const { return handshake_in_ + pending(); }

  // CountKept counts in `meter`, from now on, the bytes that this stream keeps. The meter must
  // outlive the stream.
  void CountKept(MemoryMeter* meter);
  // MayKeep is false while memory is so tight that nothing may be read that a sink might not take
  // at once.
  bool MayKeep() const { return meter_ == nullptr || !meter_->IsTight(); }

  // WantRead turns OnReadable on or off. A stream that is off still notices a reset (OnBroken).
  void WantRead(bool on);
  // Read takes one burst from the socket, of `most` bytes at most. After kEnd, kTruncated and
  // kFailed nothing more comes.
  ReadResult Read(std::size_t most = kReadBurst);
  Load load() const { return load_.load(); }  // by the last reads
  // BufferedInput: the stream holds something that Read has yet to report. It came with the end of
  // the handshake, or it is an end behind data. The socket may stay silent about it, so the owner
  // must call Read again without waiting for OnReadable.
  bool BufferedInput() const { return !carry_.empty() || end_after_data_.has_value(); }

  // Write takes all of `bytes`, and keeps what the kernel does not take. While pending() > 0 the
  // caller produces no more, and goes on at OnDrained. False: the stream has failed, and error()
  // says why.
  bool Write(std::span<const std::uint8_t> bytes);
  // Room is how many bytes of a Write the kernel will certainly take. 0 when in doubt.
  std::size_t Room() const;
  std::size_t pending() const { return pending_.size() - pending_sent_; }
  // TakesNow: at this moment the kernel takes a record or so. AwaitRoom asks for OnDrained when it
  // does again.
  bool TakesNow() const;
  void AwaitRoom();

  // EndWrite ends our direction behind what is pending, by a FIN or, on a TLS leg, a close_notify.
  // A second call does nothing.
  void EndWrite();
  // Finish is EndWrite, and on a TLS leg also sends the FIN behind the close_notify. A second call
  // does nothing.
  void Finish();
  // SendAlert ends a TLS leg by a fatal alert (RFC 8446 6.2), so that the peer cannot take it for a
  // clean end.
  void SendAlert(tls::Alert alert);
  // FinishRaw sends a FIN behind what is pending, without a close_notify. It is for use behind an
  // alert.
  void FinishRaw();
  // ResetOnClose makes the destructor send a reset instead of a FIN. Never call it after a clean
  // end.
  void ResetOnClose();

  // BeginDiscard ends reading for good. From then on call Discard, at once and at every OnReadable.
  // Discard drops the bytes that still come, kReadBurst at most in a call: closing a socket that
  // holds unread bytes sends a reset, which could overtake our own last bytes. True: the peer has
  // closed, too, or the socket has failed, so nothing is lost by closing now.
  void BeginDiscard();
  bool Discard();

  // SetObserver hands the stream to another owner of its events.
  void SetObserver(StreamObserver* observer) { observer_ = observer; }

  // what Discard drops does not count
  bool received_anything() const { return handshake_in_ > 0 || bytes_in_ > 0; }
  // PeerIsDead asks Liveness. Call it every net::kLivenessCheck.
  bool PeerIsDead();

  bool read_ended() const {
    return reading_ == Reading::kEnded || reading_ == Reading::kDiscarding;
  }
  bool write_ended() const { return end_sent_ != WriteEnd::kNone; }
  int error() const { return error_; }  // errno of the failed call, 0 if none
  int fd() const { return fd_.get(); }
  std::uint64_t bytes_in() const { return bytes_in_; }    // plaintext
  std::uint64_t bytes_out() const { return bytes_out_; }  // plaintext

 private:
  enum class Reading : std::uint8_t {
    kPaused,      // the owner wants no bytes now
    kWanted,      // OnReadable is on
    kEnded,       // nothing comes any more
    kDiscarding,  // the owner takes nothing more; what comes is dropped
  };
  // WriteEnd is how far our direction has ended. A plain leg has no kEndOfData: its FIN says both.
  enum class WriteEnd : std::uint8_t { kNone, kEndOfData, kFin };

  void OnReady(Poller::Ready ready);
  void UpdateInterest();
  // Receive fills `into` from the socket: > 0 bytes, 0 end, < 0 with error() set or EAGAIN (error()
  // stays 0).
  long Receive(std::span<std::uint8_t> into);
  bool SendOrKeep(std::span<const std::uint8_t> bytes, int flags = 0);  // flags of send()
  bool FlushPending();
  ReadResult ReadPlain(std::size_t most);
  ReadResult ReadTls(std::size_t most);
  void SendEndOfData();
  void SendFin();
  void AfterFlush();
  void Recount();  // after every change of what is kept

  Loop& loop_;
  StreamObserver* observer_;
  UniqueFd fd_;
  std::optional<Poller> poller_;
  std::unique_ptr<tls::Session> session_;
  // kClosed or kFailed came behind bytes already delivered
  std::optional<tls::Progress> end_after_data_;
  std::vector<std::uint8_t> carry_;  // ciphertext that came with the end of the handshake
  // wire bytes the kernel has not taken; empty and without memory when idle
  std::vector<std::uint8_t> pending_;
  std::size_t pending_sent_ = 0;
  MemoryMeter* meter_ = nullptr;
  std::size_t counted_ = 0;  // in meter_
  std::size_t handshake_in_ = 0;
  Reading reading_ = Reading::kPaused;
  LoadMeter load_;
  WriteEnd end_wanted_ = WriteEnd::kNone;
  WriteEnd end_sent_ = WriteEnd::kNone;
  bool awaits_room_ = false;
  bool errors_unwatched_ = false;  // an event that never ends made watching for errors a busy loop
  Liveness liveness_;
  int error_ = 0;
  std::uint64_t bytes_in_ = 0;
  std::uint64_t bytes_out_ = 0;
};

}  // namespace mooring::net
