#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

#include "bench/event_loop.h"
#include "bench/leftover.h"
#include "bench/servers.h"

namespace mooring::bench {
namespace {

constexpr std::size_t kDiscardAtOnce = std::size_t{1} << 20;

class Caller final : public Handler {
 public:
  Caller(EventLoop& loop, int fd) : loop_(loop), fd_(fd) { loop_.Watch(fd_, EPOLLIN, *this); }
  ~Caller() override { close(fd_); }

  void OnEvents(std::uint32_t events) override {
    if (over_) return;
    bool well = true;
    if ((events & EPOLLOUT) != 0) well = left_.Flush(fd_);
    if (well && left_.empty() && (events & ~std::uint32_t{EPOLLOUT}) != 0)
      well = kind_ == kSink ? Discard() : Echo();
    if (!well) return Over();
    // While bytes wait to go back, none are taken: the caller is to feel it.
    const std::uint32_t wanted = left_.empty() ? EPOLLIN : EPOLLOUT;
    if (wanted != watched_) loop_.Change(fd_, watched_ = wanted, *this);
  }

 private:
  bool Echo() {
    const ssize_t count = recv(fd_, ReadScratch().data(), ReadScratch().size(), 0);
    if (count <= 0) return count < 0 && errno == EAGAIN;
    const auto bytes =
        std::span<const std::uint8_t>(ReadScratch().data(), static_cast<std::size_t>(count));
    if (kind_ == 0) kind_ = bytes.front();
    if (kind_ == kSink) return Count(bytes.size());
    return left_.Send(fd_, bytes);
  }

  bool Discard() {
    // MSG_TRUNC: the kernel drops the bytes without copying them.
    const ssize_t count = recv(fd_, nullptr, kDiscardAtOnce, MSG_TRUNC);
    if (count <= 0) return count < 0 && errno == EAGAIN;
    return Count(static_cast<std::size_t>(count));
  }

  bool Count(std::size_t bytes) {
    arrived_ += bytes;
    if (arrived_ - told_ < kAckEvery) return true;
    told_ = arrived_;
    std::array<std::uint8_t, kAckBytes> ack{};
    for (std::size_t i = 0; i < ack.size(); ++i)
      ack[i] = static_cast<std::uint8_t>(arrived_ >> (8 * i));
    return left_.Send(fd_, ack);
  }

  void Over() {
    over_ = true;
    loop_.Retire(std::unique_ptr<Disposable>(this));
  }

  EventLoop& loop_;
  const int fd_;
  std::uint32_t watched_ = EPOLLIN;
  std::uint8_t kind_ = 0;
  bool over_ = false;
  std::uint64_t arrived_ = 0, told_ = 0;
  Leftover left_;
};

class Door final : public Handler {
 public:
  Door(EventLoop& loop, int port) : loop_(loop), fd_(Listen(port)) {
    loop_.Watch(fd_, EPOLLIN, *this);
  }
  ~Door() override { close(fd_); }
  void OnEvents(std::uint32_t /*events*/) override {
    // owns itself until it is over
    for (int fd = Accept(fd_); fd >= 0; fd = Accept(fd_)) new Caller(loop_, fd);
  }

 private:
  EventLoop& loop_;
  const int fd_;
};

}  // namespace

void RunBackend(int port) {
  EventLoop loop;
  const Door door(loop, port);
  for (;;) loop.Once(Time::max());
}

}  // namespace mooring::bench
