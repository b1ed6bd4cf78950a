#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <vector>

#include "bench/event_loop.h"
#include "bench/leftover.h"
#include "bench/servers.h"

namespace mooring::bench {
namespace {

class Pair;

// Leg is one socket of a relayed connection, and the bytes that still have to go out by it.
class Leg final : public Handler {
 public:
  Leg(Pair& owner, int socket) : pair(owner), fd(socket) {}
  ~Leg() override { close(fd); }
  void OnEvents(std::uint32_t events) override;

  Pair& pair;
  const int fd;
  std::uint32_t watched = EPOLLIN;
  bool ended = false;  // its peer has sent its last byte
  bool shut = false;   // we have sent ours
  Leftover out;
};

class Pair final : public Disposable {
 public:
  Pair(EventLoop& loop, std::vector<std::uint8_t>& buffer, int caller, int target)
      : loop_(loop), buffer_(buffer), legs_{Leg(*this, caller), Leg(*this, target)} {
    for (Leg& leg : legs_) loop_.Watch(leg.fd, EPOLLIN, leg);
  }

  void Serve(Leg& leg, std::uint32_t events) {
    if (over_) return;
    Leg& other = &leg == legs_.data() ? legs_[1] : legs_[0];
    bool well = (events & EPOLLERR) == 0;
    if (well && (events & EPOLLOUT) != 0) well = leg.out.Flush(leg.fd);
    if (well && (events & (EPOLLIN | EPOLLHUP)) != 0 && !leg.ended && other.out.empty())
      well = Copy(leg, other);
    if (!well || (leg.shut && other.shut)) return Over();
    for (Leg& each : legs_) PassEnd(each);
    if (leg.shut && other.shut) return Over();
    Watch(leg, other);
    Watch(other, leg);
  }

 private:
  bool Copy(Leg& from, Leg& to) {
    const ssize_t count = recv(from.fd, buffer_.data(), buffer_.size(), 0);
    if (count > 0) return to.out.Send(to.fd, {buffer_.data(), static_cast<std::size_t>(count)});
    if (count < 0) return errno == EAGAIN;
    from.ended = true;
    return true;
  }

  // PassEnd hands a half-close on, behind the last byte.
  void PassEnd(Leg& leg) {
    const Leg& source = &leg == legs_.data() ? legs_[1] : legs_[0];
    if (leg.shut || !source.ended || !leg.out.empty()) return;
    leg.shut = true;
    shutdown(leg.fd, SHUT_WR);
  }

  void Watch(Leg& leg, const Leg& other) {
    std::uint32_t wanted = 0;
    if (!leg.ended && other.out.empty()) wanted |= EPOLLIN;
    if (!leg.out.empty()) wanted |= EPOLLOUT;
    if (wanted != leg.watched) loop_.Change(leg.fd, leg.watched = wanted, leg);
  }

  void Over() {
    over_ = true;
    loop_.Retire(std::unique_ptr<Disposable>(this));
  }

  EventLoop& loop_;
  std::vector<std::uint8_t>& buffer_;
  bool over_ = false;
  std::array<Leg, 2> legs_;
};

void Leg::OnEvents(std::uint32_t events) { pair.Serve(*this, events); }

class Door final : public Handler {
 public:
  Door(EventLoop& loop, int listen, int to, std::size_t buffer)
      : loop_(loop), fd_(Listen(listen)), to_(to), buffer_(buffer) {
    loop_.Watch(fd_, EPOLLIN, *this);
  }
  ~Door() override { close(fd_); }

  void OnEvents(std::uint32_t /*events*/) override {
    for (int caller = Accept(fd_); caller >= 0; caller = Accept(fd_)) {
      const int target = Dial(to_);
      if (target < 0) {
        close(caller);
      } else {
        new Pair(loop_, buffer_, caller, target);  // owns itself until it is over
      }
    }
  }

 private:
  EventLoop& loop_;
  const int fd_, to_;
  std::vector<std::uint8_t> buffer_;
};

}  // namespace

void RunRelay(int listen, int to, std::size_t buffer) {
  EventLoop loop;
  const Door door(loop, listen, to, buffer);
  for (;;) loop.Once(Time::max());
}

}  // namespace mooring::bench
