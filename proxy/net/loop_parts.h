// Private to the files that make up the Loop: what stands behind it, and behind Poller and Timer.
// One loop's thread.
#pragma once

#include <sys/epoll.h>
#include <uv.h>

#include <array>
#include <cstdint>
#include <functional>

#include "proxy/net/loop.h"
#include "proxy/net/socket.h"

namespace mooring::net {

// Check ends the process where only a mistake of our own can be the cause. A lack of memory,
// descriptors, threads or epoll watches is none, and never comes here.
void Check(int rc, const char* what);

// Close frees a handle in its close callback, the only moment when libuv has forgotten it.
template <typename H>
void Close(H* handle) {
  uv_close(reinterpret_cast<uv_handle_t*>(&handle->uv),
           [](uv_handle_t* raw) { delete static_cast<H*>(raw->data); });
}

// Events taken from the kernel at once: deferred tasks and timers wait for one such batch at most.
inline constexpr int kBatch = 256;
// unused handles of about 200 bytes, for the connections to come
inline constexpr std::size_t kTimersKept = 256;

struct Poller::Handle {
  int fd = -1;
  bool shared = false;
  Keeper* keeper = nullptr;
  std::function<void(Ready)> on_ready;
  unsigned interest = kNone;  // what is wanted
  unsigned watched = kNone;   // what the kernel knows
  bool detached = false;      // the Poller is gone; the function itself stays, it may be running
  bool changed = false;       // on the list of changed ones
  bool named = false;         // the kernel would not forget it
  // errno of the kernel, which would not watch it; on the list of refused ones
  int refused = 0;
  Handle* next_changed = nullptr;
  Handle* next_refused = nullptr;
  Handle* next_dead = nullptr;
};

// Sockets is the epoll set. The kernel hears of a change of interest before it is asked for events
// again, not at once: most changes are taken back, or end with the socket, within the same batch. A
// dead handle may stand in the batch under way and on the lists of changed and of refused ones, so
// it goes after all of them.
struct Loop::Sockets {
  Sockets();  // throws std::system_error
  ~Sockets();
  Sockets(const Sockets&) = delete;
  Sockets& operator=(const Sockets&) = delete;

  // Control answers 0 or an errno.
  int Control(int operation, int fd, std::uint32_t events, Poller::Handle* handle) const;
  void Note(Poller::Handle* handle);
  void Unwatch(Poller::Handle* handle) const;
  void ApplyChanges();
  void ReportRefused(Loop& loop);
  void ClearDead();

  UniqueFd set;
  int alive = 0;
  Poller::Handle* changed = nullptr;
  Poller::Handle* refused = nullptr;
  Poller::Handle* dead = nullptr;
  Poller::Handle* kept = nullptr;  // dead ones that the kernel may still name
  std::array<epoll_event, kBatch> batch{};
};

struct Timer::Handle {
  uv_timer_t uv{};
  Loop* loop = nullptr;
  Keeper* keeper = nullptr;
  std::function<void()> on_fire;
  bool detached = false;  // the Timer is gone; the function itself stays, it may be running
  Handle* next = nullptr;
};

// Timers keeps handles for reuse: closing one costs libuv a turn of its loop, a system call, and
// every connection has some. A handle whose Timer is gone rests until the batch is served, because
// its function may be running.
struct Loop::Timers {
  Timer::Handle* Take(Loop& loop);  // throws std::bad_alloc
  void ClearResting(std::size_t keep);
  void CloseAll();

  Timer::Handle* resting = nullptr;
  Timer::Handle* free = nullptr;
  std::size_t kept = 0;
};

}  // namespace mooring::net
