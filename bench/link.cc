#include "bench/link.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace mooring::bench {
namespace {

// A session may hold one record of an earlier read, so that a read yields more than it brought.
std::span<std::uint8_t> PlainScratch() {
  static std::vector<std::uint8_t> memory(kReadBytes + 2 * 16384);
  return memory;
}

}  // namespace

Link::Link(EventLoop& loop, Target& target, LinkUser& user, std::size_t slot)
    : loop_(loop), target_(target), user_(user), slot_(slot), fd_(Dial(target.port)) {
  if (fd_ < 0) {
    stage_ = Stage::kOver;
    target_.last_failure = std::strerror(errno);
    return;
  }
  loop_.Watch(fd_, watched_, *this);
}

Link::~Link() {
  if (fd_ >= 0) close(fd_);
}

std::size_t Link::Offer(std::span<const std::uint8_t> bytes) {
  if (stage_ != Stage::kOpen || !out_.empty()) return 0;
  std::size_t taken = 0;
  if (session_) {
    tls::Wire wire{.in = {}, .out = out_.Tail()};
    if (!session_->Write(wire, bytes)) return 0;
    taken = bytes.size();
    // A socket that has failed tells the reading side, too, which ends the link.
    static_cast<void>(out_.Flush(fd_));
  } else {
    const ssize_t count = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    taken = count > 0 ? static_cast<std::size_t>(count) : 0;
  }
  Watch();
  return taken;
}

void Link::Send(std::span<const std::uint8_t> bytes) {
  const std::span<const std::uint8_t> rest = bytes.subspan(Offer(bytes));
  if (rest.empty() || stage_ != Stage::kOpen) return;
  if (session_) {
    tls::Wire wire{.in = {}, .out = out_.Tail()};
    static_cast<void>(session_->Write(wire, rest));
  } else {
    tls::Append(out_.Tail(), rest);
  }
  Watch();
}

void Link::WantRoom() {
  wants_room_ = true;
  Watch();
}

void Link::Close() {
  if (stage_ == Stage::kOpen && session_) {
    tls::Wire wire{.in = {}, .out = out_.Tail()};
    session_->CloseNotify(wire);
    static_cast<void>(out_.Flush(fd_));
  }
  stage_ = Stage::kOver;
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

void Link::OnEvents(std::uint32_t events) {
  if (stage_ == Stage::kConnecting) return Connected();
  if (stage_ != Stage::kOver && (events & ~std::uint32_t{EPOLLOUT}) != 0) Receive();
  if (stage_ == Stage::kOver || (events & EPOLLOUT) == 0) return;
  static_cast<void>(out_.Flush(fd_));
  if (stage_ == Stage::kOpen && wants_room_ && out_.empty()) user_.OnRoom(*this);
  if (stage_ != Stage::kOver) Watch();
}

void Link::Connected() {
  if (const int error = SocketError(fd_); error != 0)
    return Lost(std::string("connect: ") + std::strerror(error));
  if (!target_.context) {
    stage_ = Stage::kOpen;
    Watch();
    return user_.OnOpen(*this);
  }
  stage_ = Stage::kHandshake;
  session_ = tls::Session::Connect(target_.context, target_.expected.Sni(), target_.expected,
                                   target_.resume_at);
  tls::Wire wire{.in = {}, .out = out_.Tail()};
  ContinueHandshake(wire);
}

void Link::Receive() {
  const ssize_t count = recv(fd_, ReadScratch().data(), ReadScratch().size(), 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count < 0) return Lost(std::string("receive: ") + std::strerror(errno));
  if (count == 0) return Lost("closed by the other side");
  const std::span<const std::uint8_t> bytes(ReadScratch().data(), static_cast<std::size_t>(count));
  if (!session_) return user_.OnBytes(*this, bytes);
  tls::Wire wire{.in = bytes, .out = out_.Tail()};
  if (stage_ == Stage::kHandshake) return ContinueHandshake(wire);
  Decrypt(wire);
}

void Link::ContinueHandshake(tls::Wire& wire) {
  const tls::Progress progress = session_->Handshake(wire);
  static_cast<void>(out_.Flush(fd_));
  if (progress == tls::Progress::kFailed) return Lost("handshake: " + session_->failure_text());
  if (progress == tls::Progress::kDone) {
    stage_ = Stage::kOpen;
    CountHandshake();
    user_.OnOpen(*this);
    if (stage_ == Stage::kOpen && !wire.in.empty()) return Decrypt(wire);
  }
  if (stage_ != Stage::kOver) Watch();
}

void Link::CountHandshake() {
  Negotiated& negotiated = target_.negotiated;
  if (++negotiated.handshakes == 1) {
    negotiated.version = session_->version();
    negotiated.cipher = session_->cipher();
    negotiated.group = session_->group();
  }
  if (session_->resumed()) ++negotiated.resumed;
}

void Link::Decrypt(tls::Wire& wire) {
  for (;;) {
    std::size_t length = 0;
    const tls::Progress progress = session_->Read(wire, PlainScratch(), &length);
    if (length > 0) user_.OnBytes(*this, PlainScratch().first(length));
    if (stage_ == Stage::kOver) return;
    if (progress == tls::Progress::kFailed) return Lost("read: " + session_->failure_text());
    if (progress == tls::Progress::kClosed) return Lost("closed by the other side");
    if (progress == tls::Progress::kWantInput) break;
  }
  static_cast<void>(out_.Flush(fd_));
  Watch();
}

void Link::Watch() {
  const bool out = !out_.empty() || (wants_room_ && stage_ == Stage::kOpen);
  const std::uint32_t wanted = EPOLLIN | (out ? std::uint32_t{EPOLLOUT} : 0);
  if (wanted != watched_) loop_.Change(fd_, watched_ = wanted, *this);
}

void Link::Lost(const std::string& why) {
  target_.last_failure = why;
  stage_ = Stage::kOver;
  close(fd_);
  fd_ = -1;
  user_.OnLost(*this);
}

}  // namespace mooring::bench
