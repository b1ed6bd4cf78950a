#include "proxy/net/stream.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "proxy/net/scratch.h"

namespace mooring::net {
namespace {
// A handshake's flights are small; a large read here would only pile up what the peer sends early.
constexpr std::size_t kHandshakeRead = 16384;

// Failed is the error of a socket that is to be closed for it. It may be of our side alone (a send
// without memory): then a close without a reset would tell the peer a clean end.
int Failed(int fd, int error) {
  SetResetOnClose(fd);
  return error;
}

// OfTls is the error of a session that has failed. One without memory has sent no alert.
int OfTls(int fd, const tls::Session& session) {
  return session.failure() == tls::Failure::kMemory ? Failed(fd, ENOMEM) : EPROTO;
}
}  // namespace

Stream::Stream(Loop& loop, UniqueFd fd, StreamObserver* observer)
    : loop_(loop), observer_(observer), fd_(std::move(fd)) {
  try {
    poller_.emplace(loop, fd_.get(), [this](Poller::Ready ready) { OnReady(ready); });
  } catch (...) {
    ResetOnClose();  // a leg that never came to be must not look like a clean end to its peer
    throw;
  }
}

Stream::~Stream() {
  poller_.reset();  // before the descriptor, as Poller demands
  if (meter_ != nullptr) meter_->Add(-static_cast<std::int64_t>(counted_));
}

void Stream::CountKept(MemoryMeter* meter) {
  meter_ = meter;
  Recount();
}

void Stream::Recount() {
  if (meter_ == nullptr) return;
  const std::size_t kept = carry_.capacity() + pending_.capacity();
  if (kept == counted_) return;
  meter_->Add(static_cast<std::int64_t>(kept) - static_cast<std::int64_t>(counted_));
  counted_ = kept;
}

void Stream::OnReady(Poller::Ready ready) {
  if (ready.refused != 0) {  // the socket may be well, but nothing would be heard of it
    error_ = Failed(fd_.get(), ready.refused);
    observer_->OnBroken(*this);
    return;
  }
  if (ready.error) {
    // Data that arrived before a reset is still readable and comes first; a reader finds the error
    // itself.
    if (reading_ == Reading::kWanted) {
      UpdateInterest();  // polling has stopped; there may be more than one burst before the error
      observer_->OnReadable(*this);
      return;
    }
    error_ = PendingError(fd_.get());
    if (error_ == 0) error_ = ECONNRESET;
    observer_->OnBroken(*this);
    return;
  }
  if (ready.other) {
    errors_unwatched_ = true;
    UpdateInterest();
  }
  if (ready.write && pending() == 0 && awaits_room_) {
    awaits_room_ = false;
    UpdateInterest();
    observer_->OnDrained(*this);
    return;
  }
  if (ready.write && pending() > 0) {
    if (!FlushPending()) {
      UpdateInterest();
      observer_->OnBroken(*this);
      return;
    }
    if (pending() == 0) {
      AfterFlush();
      UpdateInterest();
      observer_->OnDrained(*this);
      return;  // level-triggered: a readable socket is reported again
    }
  }
  if (ready.read && (reading_ == Reading::kWanted || reading_ == Reading::kDiscarding))
    observer_->OnReadable(*this);
}

void Stream::UpdateInterest() {
  unsigned interest = Poller::kNone;
  if (reading_ == Reading::kWanted || reading_ == Reading::kDiscarding) {
    interest |= Poller::kRead;
  } else if (!errors_unwatched_) {
    interest |= Poller::kErrors;
  }
  // A failed socket is writable for ever, and nothing more can be sent on it.
  if ((pending() > 0 || awaits_room_) && error_ == 0) interest |= Poller::kWrite;
  poller_->Set(interest);
}

void Stream::WantRead(bool on) {
  const Reading wanted = read_ended() ? reading_ : on ? Reading::kWanted : Reading::kPaused;
  if (wanted == reading_ && poller_->interest() != Poller::kNone) return;
  reading_ = wanted;
  UpdateInterest();
}

void Stream::StartTls(std::unique_ptr<tls::Session> session) { session_ = std::move(session); }

tls::Progress Stream::Handshake(bool readable) {
  auto& out = loop_.scratch().out();
  auto scratch = loop_.scratch().cipher().first(kHandshakeRead);
  for (;;) {
    std::span<const std::uint8_t> input = carry_;
    bool more = false;
    if (readable) {
      const long got = Receive(scratch);
      if (got < 0 && error_ == 0) return tls::Progress::kWantInput;
      if (got <= 0) {
        reading_ = Reading::kEnded;
        UpdateInterest();
        return tls::Progress::kFailed;
      }
      const auto fresh = scratch.first(static_cast<std::size_t>(got));
      handshake_in_ += fresh.size();
      more = fresh.size() == scratch.size();
      if (carry_.empty()) {
        input = fresh;
      } else {
        carry_.insert(carry_.end(), fresh.begin(), fresh.end());
        input = carry_;
      }
    }
    out.clear();
    tls::Wire wire{input, out};
    const tls::Progress progress = session_->Handshake(wire);
    std::vector<std::uint8_t>(wire.in.begin(), wire.in.end()).swap(carry_);
    Recount();
    if (!out.empty() && !SendOrKeep(out)) return tls::Progress::kFailed;
    if (progress == tls::Progress::kFailed && session_->failure() == tls::Failure::kMemory)
      error_ = OfTls(fd_.get(), *session_);
    // After a short read the socket is empty, or will make another event.
    if (progress != tls::Progress::kWantInput || !more) return progress;
  }
}

long Stream::Receive(std::span<std::uint8_t> into) {
  for (;;) {
    const ssize_t got = recv(fd_.get(), into.data(), into.size(), 0);
    if (got > 0) {
      load_.Note(static_cast<std::size_t>(got));
      loop_.scratch().NoteRead(static_cast<std::size_t>(got));
    }
    if (got >= 0) return got;
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) error_ = Failed(fd_.get(), errno);
    return -1;
  }
}

Stream::ReadResult Stream::Read(std::size_t most) {
  if (read_ended()) return {error_ != 0 ? ReadStatus::kFailed : ReadStatus::kEnd, {}};
  ReadResult result = session_ ? ReadTls(most) : ReadPlain(most);
  bytes_in_ += result.bytes.size();
  switch (result.status) {
    case ReadStatus::kData:
    case ReadStatus::kAgain: break;
    case ReadStatus::kEnd:
    case ReadStatus::kTruncated:
    case ReadStatus::kFailed:
      reading_ = Reading::kEnded;
      UpdateInterest();
      break;
  }
  return result;
}

Stream::ReadResult Stream::ReadPlain(std::size_t most) {
  // Whole records for a TLS sink: a burst that ends in a small one costs a record more.
  auto scratch = loop_.scratch().cipher().first(most / kRecord * kRecordPayload);
  const long got = Receive(scratch);
  if (got > 0) return {ReadStatus::kData, scratch.first(static_cast<std::size_t>(got))};
  if (got == 0) return {ReadStatus::kEnd, {}};
  return {error_ != 0 ? ReadStatus::kFailed : ReadStatus::kAgain, {}};
}

Stream::ReadResult Stream::ReadTls(std::size_t most) {
  if (end_after_data_) {
    if (*end_after_data_ == tls::Progress::kClosed) return {ReadStatus::kEnd, {}};
    error_ = OfTls(fd_.get(), *session_);
    return {ReadStatus::kFailed, {}};
  }
  std::span<const std::uint8_t> cipher;
  std::vector<std::uint8_t> early;
  if (!carry_.empty()) {
    early.swap(carry_);
    Recount();
    cipher = early;
  } else {
    auto scratch = loop_.scratch().cipher().first(most);
    const long got = Receive(scratch);
    if (got < 0) return {error_ != 0 ? ReadStatus::kFailed : ReadStatus::kAgain, {}};
    if (got == 0) return {ReadStatus::kTruncated, {}};
    cipher = scratch.first(static_cast<std::size_t>(got));
  }
  auto& out = loop_.scratch().out();
  out.clear();
  tls::Wire wire{cipher, out};
  auto plain = loop_.scratch().plain();
  std::size_t filled = 0;
  tls::Progress progress = tls::Progress::kDone;
  while (progress == tls::Progress::kDone && filled < plain.size()) {
    std::size_t length = 0;
    progress = session_->Read(wire, plain.subspan(filled), &length);
    filled += length;
  }
  // An alert of ours. (The answer to a key update waits inside the session for the next Write.)
  if (!out.empty() && !SendOrKeep(out) && filled == 0) return {ReadStatus::kFailed, {}};
  if (filled > 0) {
    // Bytes that came before the end are delivered first; the end is found again at the next Read.
    if (progress == tls::Progress::kClosed || progress == tls::Progress::kFailed) {
      end_after_data_ = progress;
    }
    return {ReadStatus::kData, plain.first(filled)};
  }
  switch (progress) {
    case tls::Progress::kClosed: return {ReadStatus::kEnd, {}};
    case tls::Progress::kFailed:
      if (error_ == 0) error_ = OfTls(fd_.get(), *session_);
      return {ReadStatus::kFailed, {}};
    case tls::Progress::kDone:
    case tls::Progress::kWantInput: break;
  }
  return {ReadStatus::kAgain, {}};
}

bool Stream::Write(std::span<const std::uint8_t> bytes) {
  if (error_ != 0) return false;
  bytes_out_ += bytes.size();
  if (!session_) return SendOrKeep(bytes);
  auto& out = loop_.scratch().out();
  out.clear();
  tls::Wire wire{{}, out};
  if (!session_->Write(wire, bytes)) {
    error_ = OfTls(fd_.get(), *session_);
    return false;
  }
  return SendOrKeep(out);
}

std::size_t Stream::Room() const { return pending() == 0 ? FreeSendBuffer(fd_.get()) : 0; }

bool Stream::TakesNow() const {
  if (error_ != 0) return true;  // the next write says so; waiting for room would be in vain
  if (pending() > 0) return false;
  pollfd look{.fd = fd_.get(), .events = POLLOUT, .revents = 0};
  return poll(&look, 1, 0) == 1;
}

void Stream::AwaitRoom() {
  awaits_room_ = true;
  UpdateInterest();
}

bool Stream::SendOrKeep(std::span<const std::uint8_t> bytes, int flags) {
  liveness_.NoteSent();
  if (pending() == 0) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | flags);
      if (sent >= 0) {
        bytes = bytes.subspan(static_cast<std::size_t>(sent));
        continue;
      }
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      error_ = Failed(fd_.get(), errno);
      return false;
    }
    if (bytes.empty()) return true;
  }
  pending_.insert(pending_.end(), bytes.begin(), bytes.end());
  Recount();
  UpdateInterest();
  return true;
}

bool Stream::FlushPending() {
  liveness_.NoteSent();
  while (pending() > 0) {
    const ssize_t sent = send(fd_.get(), pending_.data() + pending_sent_, pending(), MSG_NOSIGNAL);
    if (sent >= 0) {
      pending_sent_ += static_cast<std::size_t>(sent);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return true;
    error_ = Failed(fd_.get(), errno);
    return false;
  }
  pending_sent_ = 0;
  std::vector<std::uint8_t>().swap(pending_);  // an idle connection holds no buffer
  Recount();
  return true;
}

void Stream::EndWrite() {
  if (end_wanted_ != WriteEnd::kNone) return;
  end_wanted_ = WriteEnd::kEndOfData;
  if (pending() == 0) SendEndOfData();
}

void Stream::SendEndOfData() {
  if (write_ended() || error_ != 0) return;
  if (!session_) {
    SendFin();
    return;
  }
  end_sent_ = WriteEnd::kEndOfData;
  auto& out = loop_.scratch().out();
  out.clear();
  tls::Wire wire{{}, out};
  session_->CloseNotify(wire);
  // MSG_MORE: the FIN that comes next takes it along.
  if (!out.empty()) (void)SendOrKeep(out, end_wanted_ == WriteEnd::kFin ? MSG_MORE : 0);
}

void Stream::SendFin() {
  // One that has failed ends by a reset, and before it there is no FIN. (After an alert there is.)
  const bool failed = error_ != 0 && error_ != EPROTO;
  if (std::exchange(end_sent_, WriteEnd::kFin) != WriteEnd::kFin && !failed)
    shutdown(fd_.get(), SHUT_WR);
}

void Stream::AfterFlush() {
  if (end_wanted_ != WriteEnd::kNone) SendEndOfData();
  if (end_wanted_ == WriteEnd::kFin && write_ended() && pending() == 0) SendFin();
}

void Stream::Finish() {
  end_wanted_ = WriteEnd::kFin;
  if (pending() == 0) AfterFlush();
}

void Stream::SendAlert(tls::Alert alert) {
  auto& out = loop_.scratch().out();
  out.clear();
  tls::Wire wire{{}, out};
  session_->SendAlert(wire, alert);
  if (!out.empty()) (void)SendOrKeep(out);
}

void Stream::FinishRaw() {
  end_wanted_ = WriteEnd::kFin;
  if (end_sent_ == WriteEnd::kNone) end_sent_ = WriteEnd::kEndOfData;  // the alert has said it
  if (pending() == 0) AfterFlush();
}

void Stream::ResetOnClose() { SetResetOnClose(fd_.get()); }

bool Stream::PeerIsDead() {
  if (!liveness_.Check(fd_.get(), loop_.now())) return false;
  error_ = ETIMEDOUT;
  return true;
}

void Stream::BeginDiscard() {
  reading_ = Reading::kDiscarding;  // Discard sees to the interest
}

bool Stream::Discard() {
  // What is left is reported again, after the others have had their turn.
  std::size_t left = kReadBurst;
  while (left > 0) {
    const long got = Receive(loop_.scratch().cipher().first(left));
    if (got > 0) {
      left -= static_cast<std::size_t>(got);
      continue;
    }
    if (got < 0 && error_ == 0) break;
    // an ended socket stays readable: watching it on would be a busy loop
    reading_ = Reading::kEnded;
    UpdateInterest();
    return true;
  }
  UpdateInterest();
  return false;
}

}  // namespace mooring::net
