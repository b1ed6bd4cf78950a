// Stream: one leg of a connection. A connected socket, plaintext or TLS, that reads into the loop's scratch
// memory and keeps no more than what the kernel would not take at once.
//
// Knows nothing of the other leg, of identities or of timers. Belongs to its owner, on its loop's thread.
// Half-close: reading and writing end separately; on a TLS leg the end of writing is a close_notify and
// the TCP FIN is held back until Finish, because some stacks drop a connection on FIN (RFC 8446 6.1).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "proxy/net/liveness.h"
#include "proxy/net/loop.h"
#include "proxy/net/memory_meter.h"
#include "proxy/net/socket.h"
#include "tls/session.h"

namespace mooring::net {

class Stream;

// StreamObserver is told what became true. Each call may destroy the Stream; callers of Stream's own verbs
// are never called back from inside the verb.
class StreamObserver {
 public:
  virtual void OnReadable(Stream& stream) = 0;  // Read will not just say kAgain, or says why it never will
  virtual void OnDrained(Stream& stream) = 0;   // everything written has reached the kernel; or: AwaitRoom is over
  // Reset or dead, noticed while not reading, or not to be watched (IsShortage); error() has the errno.
  virtual void OnBroken(Stream& stream) = 0;

 protected:
  ~StreamObserver() = default;
};

class Stream final {
 public:
  enum class ReadStatus {
    kData,       // bytes, at least one
    kAgain,      // nothing now
    kEnd,        // the peer ended its direction: FIN (plain) or close_notify (TLS)
    kTruncated,  // TLS: FIN without close_notify
    kFailed,     // reset, dead peer or TLS failure: error(), session()
  };
  struct ReadResult {
    ReadStatus status;
    std::span<const std::uint8_t> bytes;  // in the loop's scratch; gone with the next call on any Stream
  };

  // The observer must outlive the Stream. `fd` is connected and non-blocking.
  Stream(Loop& loop, UniqueFd fd, StreamObserver* observer);
  ~Stream();  // closes at once, without close_notify; a FIN, or a reset after ResetOnClose
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // StartTls makes the stream a TLS leg; before any byte has passed. Handshake then drives it: a dialling side calls it at
  // once with `readable` false, both sides on every OnReadable with true, until it is not kWantInput. Alerts are on
  // their way when it returns kFailed.
  void StartTls(std::unique_ptr<tls::Session> session);
  tls::Progress Handshake(bool readable);
  tls::Session* session() { return session_.get(); }
  // handshake_bytes are what the handshake may have collected: all that came, and of ours what the kernel did not take.
  std::size_t handshake_bytes() const { return handshake_in_ + pending(); }

  // CountKept has the bytes that this stream keeps counted in `meter`, which must outlive it, from now on.
  void CountKept(MemoryMeter* meter);
  // MayKeep: there is no want of memory that forbids to read what a sink may not take at once.
  bool MayKeep() const { return meter_ == nullptr || !meter_->IsTight(); }

  // WantRead turns OnReadable on or off. A stream that is off still notices a reset (OnBroken).
  void WantRead(bool on);
  // Read takes one burst of `most` bytes from the socket. After kEnd, kTruncated and kFailed nothing more comes.
  ReadResult Read(std::size_t most = kReadBurst);
  // IsBulk: the last Reads brought so much that the next will probably bring as much again.
  bool IsBulk() const { return bulk_; }
  // IsHeavy: the last Read brought so much that this stream has to share a turn of the loop (kTurnBytes).
  bool IsHeavy() const { return heavy_; }
  // IsLight: no Read has been large, or so many since were small that it is no bulk stream that was quicker than its source.
  bool IsLight() const { return small_reads_ == kLightReads; }
  // BufferedInput: something that Read will report waits inside (bytes that arrived with the end of the
  // handshake, an end behind data), so the socket may stay silent: the owner must call Read again by itself.
  bool BufferedInput() const { return !carry_.empty() || end_after_data_.has_value(); }

  // Write takes all of `bytes`. False: the stream has failed (error()). What the kernel did not take is
  // kept; the caller stops producing while pending() > 0 and goes on at OnDrained.
  bool Write(std::span<const std::uint8_t> bytes);
  // Room is how much the kernel will take of a Write for certain; 0 when in doubt.
  std::size_t Room() const;
  std::size_t pending() const { return pending_.size() - pending_sent_; }
  // TakesNow: the kernel takes a record or so at this moment. AwaitRoom has OnDrained called when it does again.
  bool TakesNow() const;
  void AwaitRoom();

  // EndWrite ends our direction after what is pending: FIN, or close_notify on a TLS leg. Idempotent.
  void EndWrite();
  // Finish sends the FIN that EndWrite held back on a TLS leg. Idempotent.
  void Finish();
  // SendAlert ends a TLS leg by a fatal alert (RFC 8446 6.2), so that the peer cannot take it for a clean end.
  void SendAlert(int description);
  // FinishRaw sends a FIN behind what is pending, without a close_notify: behind an alert.
  void FinishRaw();
  // ResetOnClose makes the destructor send a reset instead of a FIN. Never after EndWrite on a clean end.
  void ResetOnClose();

  // BeginDiscard ends reading for good: call Discard at once, and at every OnReadable from then on. Discard
  // drops raw bytes, so that a late byte does not turn our close into a reset that could overtake our own last
  // bytes. True once the peer has closed too (or the socket failed): then nothing is lost by closing.
  void BeginDiscard();
  bool Discard();

  // SetObserver hands the stream to another owner of its events.
  void SetObserver(StreamObserver* observer) { observer_ = observer; }

  bool received_anything() const { return received_anything_; }  // any byte, of TLS or plain
  // PeerIsDead asks Liveness; to be called every net::kLivenessCheck.
  bool PeerIsDead();

  bool read_ended() const { return read_ended_; }
  bool write_ended() const { return write_end_sent_; }
  int error() const { return error_; }  // errno of the failed call, 0 if none
  int fd() const { return fd_.get(); }
  std::uint64_t bytes_in() const { return bytes_in_; }    // plaintext
  std::uint64_t bytes_out() const { return bytes_out_; }  // plaintext

 private:
  static constexpr std::uint8_t kLightReads = 16;

  void OnReady(Poller::Ready ready);
  void UpdateInterest();
  // Receive fills `into` from the socket: > 0 bytes, 0 end, < 0 with error() set or EAGAIN (error() stays 0).
  long Receive(std::span<std::uint8_t> into);
  bool SendOrKeep(std::span<const std::uint8_t> bytes, int flags = 0);  // flags of send()
  bool FlushPending();
  ReadResult ReadPlain(std::size_t most);
  ReadResult ReadTls(std::size_t most);
  void CompleteEndWrite();
  void SendFin();
  void AfterFlush();
  void Recount();  // after every change of what is kept

  Loop& loop_;
  StreamObserver* observer_;
  UniqueFd fd_;
  std::optional<Poller> poller_;
  std::unique_ptr<tls::Session> session_;
  std::optional<tls::Progress> end_after_data_;  // kClosed or kFailed came behind bytes already delivered
  std::vector<std::uint8_t> carry_;    // ciphertext that came with the end of the handshake
  std::vector<std::uint8_t> pending_;  // wire bytes the kernel has not taken; empty and without memory when idle
  std::size_t pending_sent_ = 0;
  MemoryMeter* meter_ = nullptr;
  std::size_t counted_ = 0;  // in meter_
  std::size_t handshake_in_ = 0;
  bool awaits_room_ = false;
  bool want_read_ = false;
  bool bulk_ = false;
  bool heavy_ = false;
  std::uint8_t small_reads_ = kLightReads;  // in a row, up to so many
  bool read_ended_ = false;
  bool discarding_ = false;
  bool errors_unwatched_ = false;  // an event that never ends made watching for errors a busy loop
  bool end_write_ = false;     // asked for
  bool write_end_sent_ = false;
  bool finished_ = false;
  bool fin_sent_ = false;
  bool received_anything_ = false;
  bool sent_since_check_ = false;
  Liveness liveness_;
  int error_ = 0;
  std::uint64_t bytes_in_ = 0;
  std::uint64_t bytes_out_ = 0;
};

}  // namespace mooring::net
