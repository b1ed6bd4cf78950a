// Session once the handshake is done: data in both directions, and their ends.
#include <algorithm>
#include <new>
#include <utility>

#include "tls/session.h"
#include "tls/session_impl.h"

namespace mooring::tls {
namespace {
constexpr std::size_t kMaxCall = std::size_t{1} << 30;  // SSL_read and SSL_write count in int
}

Progress Session::Read(Wire& wire, std::span<std::uint8_t> plain, std::size_t* length) {
  *length = 0;
  if (impl_->failure != Failure::kNone) return Progress::kFailed;
  if (!impl_->handshake_done)
    return impl_->Fail(Failure::kProtocol, "read before the handshake finished");
  const Attach attached(*impl_, wire);
  const Progress progress = impl_->peer_closed ? Progress::kClosed : impl_->Read(plain, length);
  // what comes after close_notify is ignored (RFC 8446 6.1)
  if (progress == Progress::kClosed) wire.in = {};
  return progress;
}

Progress Session::Impl::Read(std::span<std::uint8_t> plain, std::size_t* length) {
  for (;;) {
    while (ask_ssl) {
      const std::span<std::uint8_t> room = plain.subspan(*length);
      if (room.empty()) return Progress::kDone;
      const int result =
          SSL_read(ssl.get(), room.data(), static_cast<int>(std::min(room.size(), kMaxCall)));
      if (result > 0) {
        *length += static_cast<std::size_t>(result);
        records.SslHasDelivered();
        continue;
      }
      const int error = SSL_get_error(ssl.get(), result);
      if (error == SSL_ERROR_ZERO_RETURN) {
        peer_closed = true;
        return Progress::kClosed;
      }
      if (error != SSL_ERROR_WANT_READ) return FailFromQueue();
      if (!records.SslIsDry())
        return Fail(Failure::kProtocol, "BoringSSL could not go on to the next key");
      ask_ssl = false;
    }
    switch (records.Open(*wire, plain, length)) {
      case RecordLayer::Step::kAskSsl: ask_ssl = true; break;
      case RecordLayer::Step::kWantInput: return Progress::kWantInput;
      case RecordLayer::Step::kFull: return Progress::kDone;
      case RecordLayer::Step::kBroken:
        SSL_send_fatal_alert(ssl.get(), records.fault().alert);
        return Fail(Failure::kProtocol, records.fault().text);
    }
  }
}

bool Session::Write(Wire& wire, std::span<const std::uint8_t> plain) {
  if (impl_->failure != Failure::kNone || impl_->close_notify_sent) return false;
  if (!impl_->handshake_done) {
    impl_->Fail(Failure::kProtocol, "write before the handshake finished");
    return false;
  }
  const Attach attached(*impl_, wire);
  if (impl_->records.ReadyToSeal()) {
    if (impl_->records.Seal(wire, plain)) return true;
    impl_->FailFromQueue();
    return false;
  }
  while (!plain.empty()) {
    const int result = SSL_write(impl_->ssl.get(), plain.data(),
                                 static_cast<int>(std::min(plain.size(), kMaxCall)));
    if (result <= 0) {
      impl_->FailFromQueue();
      return false;
    }
    plain = plain.subspan(static_cast<std::size_t>(result));
  }
  return true;
}

void Session::CloseNotify(Wire& wire) {
  if (impl_->failure != Failure::kNone || !impl_->handshake_done || impl_->close_notify_sent)
    return;
  const Attach attached(*impl_, wire);
  impl_->close_notify_sent = true;
  // Once only: a second SSL_shutdown would wait for the peer's close_notify and choke on its data.
  if (SSL_shutdown(impl_->ssl.get()) >= 0) return;
  // An end that is not sent must not look sent: the peer would wait for it for ever.
  if (impl_->FailFromQueue() == Progress::kFailed && impl_->failure == Failure::kMemory)
    throw std::bad_alloc();
}

void Session::SendAlert(Wire& wire, Alert alert) {
  if (impl_->failure != Failure::kNone || !impl_->handshake_done || impl_->close_notify_sent)
    return;
  const Attach attached(*impl_, wire);
  impl_->close_notify_sent = true;  // our direction is over, whichever alert ended it
  SSL_send_fatal_alert(impl_->ssl.get(), static_cast<std::uint8_t>(alert));
}

}  // namespace mooring::tls
