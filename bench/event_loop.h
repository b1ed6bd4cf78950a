// EventLoop: epoll, level-triggered, one thread; and the few socket calls that every part of the
// load generator needs.
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace mooring::bench {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;

inline double Seconds(Clock::duration length) {
  return std::chrono::duration<double>(length).count();
}
inline Clock::duration Duration(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

// Disposable is what EventLoop::Retire takes.
class Disposable {
 public:
  Disposable() = default;
  virtual ~Disposable() = default;
  Disposable(const Disposable&) = delete;
  Disposable& operator=(const Disposable&) = delete;
};

// Handler owns a descriptor and hears of it. It may be told of events that happened before it
// closed the descriptor, and must ignore them.
class Handler : public Disposable {
 public:
  virtual void OnEvents(std::uint32_t events) = 0;
};

class EventLoop final {
 public:
  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  void Watch(int fd, std::uint32_t events, Handler& handler);
  void Change(int fd, std::uint32_t events, Handler& handler);
  // Retire destroys an object once the events at hand, which may name it, are over.
  void Retire(std::unique_ptr<Disposable> object) { retired_.push_back(std::move(object)); }

  // Once serves what is ready, waiting for it until `deadline` at most.
  void Once(Time deadline);

 private:
  int epoll_;
  std::vector<epoll_event> ready_;
  std::vector<std::unique_ptr<Disposable>> retired_;
};

// Scratch memory that all connections of the process share: what is read is used at once.
inline constexpr std::size_t kReadBytes = std::size_t{256} << 10;
std::span<std::uint8_t> ReadScratch();

// Sockets of 127.0.0.1, non-blocking and without Nagle's delay. Errors of Listen end the program;
// Dial answers -1.
int Listen(int port);
int Accept(int listener);  // -1: nothing to accept
int Dial(int port);
int SocketError(int fd);

void RaiseFileLimit();

}  // namespace mooring::bench
