// Loop, Timer, Poller, Signals: RAII over libuv. Destroying an object means "no callback comes any more";
// the handle's memory goes later, in libuv's close callback, which is why handles live on the heap here.
//
// One Loop per thread. Everything here belongs to the loop's thread, except Loop::Post and Loop::PostStop.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

struct uv_loop_s;
struct uv_async_s;

namespace mooring::net {

using std::chrono::milliseconds;
using MonotonicTime = std::chrono::steady_clock::time_point;

// Sizes of the loop's shared scratch memory. One read may bring kReadBurst bytes, and what the other leg
// cannot take at once is all that a direction ever keeps: 7 whole TLS records (RFC 8446 5.2), so that
// both directions together stay below 256 KiB a connection.
inline constexpr std::size_t kReadBurst = 7 * (16384 + 22);
// A partial record kept inside BoringSSL can be completed by the next burst, hence one record more.
inline constexpr std::size_t kPlainScratch = kReadBurst + 2 * 16384;

class Loop final {
 public:
  Loop();
  ~Loop();  // aborts if a handle is still open: an object of this file outlived its loop
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Run serves events until Stop or PostStop; may be called again.
  void Run();
  void Stop();

  // Post runs `task` on the loop's thread, after the event under way; tasks keep their order. Any thread.
  // Tasks still waiting when the loop is destroyed are dropped.
  void Post(std::function<void()> task);
  void PostStop();  // any thread

  MonotonicTime now() const;  // cached at the start of the event, as libuv keeps it

  // Scratch memory, valid within one event only: whoever calls into another object gives it up.
  std::span<std::uint8_t> cipher_scratch() { return cipher_; }
  std::span<std::uint8_t> plain_scratch() { return plain_; }
  std::vector<std::uint8_t>& out_scratch() { return out_; }

  uv_loop_s* raw() { return loop_.get(); }

 private:
  void RunTasks();

  std::unique_ptr<uv_loop_s> loop_;
  std::unique_ptr<uv_async_s> wake_;
  std::mutex mutex_;
  std::vector<std::function<void()>> tasks_;  // guarded by mutex_
  std::vector<std::uint8_t> cipher_, plain_, out_;
};

// Timer fires once per Start. Starting a running one moves it.
class Timer final {
 public:
  Timer(Loop& loop, std::function<void()> on_fire);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  void Start(milliseconds delay);
  void Stop();
  bool running() const;

 private:
  struct Handle;
  Handle* handle_;
};

// Poller reports readiness of a file descriptor, level-triggered. It does not own the descriptor, which
// must be closed after the Poller is destroyed, never before.
class Poller final {
 public:
  // kErrors waits for nothing but a failed socket: epoll reports that on watched descriptors only.
  enum Interest : unsigned { kNone = 0, kRead = 1, kWrite = 2, kErrors = 4 };
  struct Ready {
    bool read = false;
    bool write = false;
    bool other = false;  // urgent data, or both directions are shut: would be reported for ever
    bool error = false;  // the socket has failed; polling has stopped, the interest is kNone now
  };

  Poller(Loop& loop, int fd, std::function<void(Ready)> on_ready);
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // Set changes what is waited for; a call that changes nothing costs nothing (an epoll_ctl is not free).
  void Set(unsigned interest);
  unsigned interest() const;

 private:
  struct Handle;
  Handle* handle_;
};

// Signals calls back on the loop's thread for each delivery of one signal.
class Signals final {
 public:
  Signals(Loop& loop, int signal_number, std::function<void()> on_signal);
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

 private:
  struct Handle;
  Handle* handle_;
};

}  // namespace mooring::net
