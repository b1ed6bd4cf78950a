#include "proxy/net/loop.h"

#include <sys/epoll.h>
#include <unistd.h>
#include <uv.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "proxy/net/name_service.h"
#include "proxy/log/output.h"
#include "proxy/net/socket.h"

namespace mooring::net {
namespace {

// Check ends the process when libuv refuses what it can only refuse by our mistake.
void Check(int rc, const char* what) {
  if (rc == 0) return;
  std::array<char, 256> text{};
  std::snprintf(text.data(), text.size(), "mooring: %s: %s\n", what, uv_strerror(rc));
  (void)log::WriteWithin(STDERR_FILENO, text.data(), milliseconds(200));  // a reader that does not read keeps nobody alive
  std::abort();
}

// Close frees a handle in its close callback, the only moment when libuv has forgotten it.
template <typename H>
void Close(H* handle) {
  uv_close(reinterpret_cast<uv_handle_t*>(&handle->uv),
           [](uv_handle_t* raw) { delete static_cast<H*>(raw->data); });
}

// Events taken from the kernel at once: deferred tasks and timers wait for one such batch at most.
constexpr int kBatch = 256;
constexpr std::size_t kTimersKept = 256;  // unused handles of about 200 bytes, for the connections to come

void CheckErrno(bool good, const char* what) { Check(good ? 0 : -errno, what); }

}  // namespace

struct Poller::Handle {
  int fd = -1;
  bool shared = false;
  std::function<void(Ready)> on_ready;
  unsigned interest = kNone;  // what is wanted
  unsigned watched = kNone;   // what the kernel knows
  bool detached = false;      // the Poller is gone; the function itself stays, it may be running
  bool changed = false;       // on the list of changed ones
  Handle* next_changed = nullptr;
  Handle* next_dead = nullptr;
};

namespace {
std::uint32_t ToEpoll(unsigned interest) {
  std::uint32_t events = 0;  // failures and hang-ups are always reported
  if ((interest & Poller::kRead) != 0) events |= EPOLLIN;
  if ((interest & Poller::kWrite) != 0) events |= EPOLLOUT;
  return events;
}
}  // namespace

// Sockets is the epoll set. The kernel hears of a change of interest before it is asked for events again, not at once: most
// changes are taken back, or end with the socket, within the same batch. A dead handle may stand in the batch under
// way and on the list of changed ones, so it goes after both.
struct Loop::Sockets {
  Sockets() : set(epoll_create1(EPOLL_CLOEXEC)) { CheckErrno(static_cast<bool>(set), "epoll"); }
  ~Sockets() {
    ClearDead();
    Check(alive == 0 ? 0 : UV_EBUSY, "event loop destroyed before its sockets");
  }
  Sockets(const Sockets&) = delete;
  Sockets& operator=(const Sockets&) = delete;

  void Control(int operation, int fd, std::uint32_t events, Poller::Handle* handle) const {
    epoll_event event{};
    event.events = events;
    event.data.ptr = handle;
    CheckErrno(epoll_ctl(set.get(), operation, fd, &event) == 0, "poll");
  }
  void Note(Poller::Handle* handle) {
    if (std::exchange(handle->changed, true)) return;
    handle->next_changed = std::exchange(changed, handle);
  }
  void Unwatch(Poller::Handle* handle) const {
    if (std::exchange(handle->watched, Poller::kNone) != Poller::kNone) Control(EPOLL_CTL_DEL, handle->fd, 0, nullptr);
  }
  void ApplyChanges() {
    while (changed != nullptr) {
      Poller::Handle* handle = std::exchange(changed, changed->next_changed);
      handle->changed = false;
      if (handle->detached || handle->interest == handle->watched) continue;
      if (handle->interest == Poller::kNone) {
        Unwatch(handle);
        continue;
      }
      const int operation = handle->watched == Poller::kNone ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
      const std::uint32_t events = ToEpoll(handle->interest) | (handle->shared ? std::uint32_t{EPOLLEXCLUSIVE} : 0);
      Control(operation, handle->fd, events, handle);
      handle->watched = handle->interest;
    }
  }
  void ClearDead() {
    for (; dead != nullptr; --alive) delete std::exchange(dead, dead->next_dead);
  }

  UniqueFd set;
  int alive = 0;
  Poller::Handle* changed = nullptr;
  Poller::Handle* dead = nullptr;
  std::array<epoll_event, kBatch> batch{};
};

struct Timer::Handle {
  uv_timer_t uv{};
  std::function<void()> on_fire;
  bool detached = false;  // the Timer is gone; the function itself stays, it may be running
  Handle* next = nullptr;
};

// Timers keeps handles for reuse: closing one costs libuv a turn of its loop, a system call, and every connection has
// some. A handle whose Timer is gone rests until the batch is served, because its function may be running.
struct Loop::Timers {
  Timer::Handle* Take(uv_loop_t* loop) {
    Timer::Handle* handle = free;
    if (handle != nullptr) {
      free = handle->next;
      --kept;
      handle->detached = false;
      return handle;
    }
    handle = new Timer::Handle;
    Check(uv_timer_init(loop, &handle->uv), "timer");
    handle->uv.data = handle;
    return handle;
  }
  void ClearResting(std::size_t keep) {
    while (resting != nullptr) {
      Timer::Handle* handle = std::exchange(resting, resting->next);
      handle->on_fire = nullptr;
      if (kept < keep) {
        handle->next = std::exchange(free, handle);
        ++kept;
      } else {
        Close(handle);
      }
    }
  }
  void CloseAll() {
    ClearResting(0);
    while (free != nullptr) Close(std::exchange(free, free->next));
    kept = 0;
  }

  Timer::Handle* resting = nullptr;
  Timer::Handle* free = nullptr;
  std::size_t kept = 0;
};

Loop::Loop()
    : loop_(std::make_unique<uv_loop_t>()),
      wake_(std::make_unique<uv_async_t>()),
      sockets_(std::make_unique<Sockets>()),
      timers_(std::make_unique<Timers>()),
      cipher_(kLargeBurst),
      plain_(kLargeBurst + 2 * kRecordPayload) {
  Check(uv_loop_init(loop_.get()), "event loop");
  Check(uv_async_init(loop_.get(), wake_.get(),
                      [](uv_async_t* async) { static_cast<Loop*>(async->data)->RunTasks(); }),
        "event loop wake-up");
  wake_->data = this;
  sockets_->Control(EPOLL_CTL_ADD, uv_backend_fd(loop_.get()), EPOLLIN, nullptr);
}

Loop::~Loop() {
  name_service_.reset();  // look-ups that nobody waits for any more
  uv_close(reinterpret_cast<uv_handle_t*>(wake_.get()), nullptr);
  timers_->CloseAll();
  // What is left to run: close callbacks. A handle that somebody still owns would keep this loop for ever, so it is found
  // first.
  bool owned = false;
  uv_walk(
      loop_.get(),
      [](uv_handle_t* handle, void* arg) {
        if (uv_is_closing(handle) == 0) *static_cast<bool*>(arg) = true;
      },
      &owned);
  Check(owned ? UV_EBUSY : 0, "event loop destroyed with open handles");
  while (uv_run(loop_.get(), UV_RUN_ONCE) != 0) {
  }
  Check(uv_loop_close(loop_.get()), "event loop destroyed with open handles");
}

void Loop::Run() {
  stopped_ = false;
  while (!stopped_) {
    sockets_->ApplyChanges();
    sockets_->ClearDead();
    timers_->ClearResting(kTimersKept);
    const bool waiting = !deferred_.empty() || uv_changed_;
    const int count = epoll_wait(sockets_->set.get(), sockets_->batch.data(), kBatch,
                                 waiting ? 0 : uv_backend_timeout(loop_.get()));
    CheckErrno(count >= 0 || errno == EINTR, "epoll");
    uv_update_time(loop_.get());
    bool uv_ready = std::exchange(uv_changed_, false);
    // The kernel's order is who became ready first, and the longest wait is shortest in that order. But those that stay ready
    // keep theirs: while turns are full each begins with another, so that nobody stands back for ever.
    first_ = TurnIsFull() ? first_ + 1 : 0;
    turn_bytes_ = 0;
    for (int i = 0; i < count; ++i) {
      if (has_tasks_.load(std::memory_order_acquire)) RunTasks();
      const epoll_event& event = sockets_->batch[(first_ + static_cast<std::size_t>(i)) % static_cast<std::size_t>(count)];
      if (event.data.ptr == nullptr) {
        uv_ready = true;
      } else {
        Poller::Serve(static_cast<Poller::Handle*>(event.data.ptr), *this, event.events);
      }
    }
    RunDeferred();
    // A timeout of 0 is libuv's word for a timer that is due or a handle that waits to be closed.
    if (uv_ready || uv_backend_timeout(loop_.get()) == 0) {
      uv_run(loop_.get(), UV_RUN_NOWAIT);
      RunDeferred();
    }
  }
}

void Loop::RunDeferred() {
  // By index: a task may defer another.
  for (std::size_t i = 0; i < deferred_.size(); ++i) std::exchange(deferred_[i], nullptr)();
  deferred_.clear();
}

void Loop::Stop() { stopped_ = true; }

tls::WireBytes& Loop::out_scratch() {
  // At once, or growing to it would copy and hold twice as much.
  if (out_.capacity() == 0) out_.reserve(plain_.size() + plain_.size() / 64);
  return out_;
}

void Loop::TrimScratch() {
  if (std::exchange(large_bursts_, false)) {
    trim_due_ = true;
    return;
  }
  if (!std::exchange(trim_due_, false)) return;
  cipher_.GiveBack(kReadBurst);
  plain_.GiveBack(kReadBurst);
  tls::WireBytes().swap(out_);
}

void Loop::Post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    has_tasks_.store(true, std::memory_order_release);
  }
  uv_async_send(wake_.get());
}

void Loop::PostStop() {
  Post([this] { Stop(); });
}

void Loop::RunTasks() {
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(tasks_);
    has_tasks_.store(false, std::memory_order_relaxed);
  }
  for (auto& task : tasks) task();
}

NameService& Loop::name_service() {
  if (!name_service_) name_service_ = std::make_unique<NameService>(*this);
  return *name_service_;
}

MonotonicTime Loop::now() const {
  return MonotonicTime(milliseconds(static_cast<std::int64_t>(uv_now(loop_.get()))));
}

Timer::Timer(Loop& loop, std::function<void()> on_fire) : loop_(loop), handle_(loop.timers_->Take(loop.raw())) {
  handle_->on_fire = std::move(on_fire);
}

Timer::~Timer() {
  uv_timer_stop(&handle_->uv);
  handle_->detached = true;
  handle_->next = std::exchange(loop_.timers_->resting, handle_);
}

void Timer::Start(milliseconds delay) {
  // libuv counts from the start of the event; after a long event that would fire early.
  uv_update_time(handle_->uv.loop);
  const auto ms = static_cast<std::uint64_t>(delay.count() < 0 ? 0 : delay.count());
  uv_timer_start(
      &handle_->uv,
      [](uv_timer_t* raw) {
        auto* handle = static_cast<Handle*>(raw->data);
        if (!handle->detached) handle->on_fire();
      },
      ms, 0);
}

void Timer::Stop() { uv_timer_stop(&handle_->uv); }

bool Timer::running() const {
  return uv_is_active(reinterpret_cast<const uv_handle_t*>(&handle_->uv)) != 0;
}

Poller::Poller(Loop& loop, int fd, std::function<void(Ready)> on_ready, Sharing sharing)
    : loop_(loop), handle_(new Handle) {
  handle_->fd = fd;
  handle_->shared = sharing == Sharing::kShared;
  handle_->on_ready = std::move(on_ready);
  ++loop_.sockets_->alive;
}

Poller::~Poller() {
  handle_->detached = true;
  loop_.sockets_->Unwatch(handle_);  // at once: the descriptor is closed next
  handle_->next_dead = std::exchange(loop_.sockets_->dead, handle_);
}

unsigned Poller::interest() const { return handle_->interest; }

void Poller::Set(unsigned interest) {
  handle_->interest = interest;
  if (interest != handle_->watched) loop_.sockets_->Note(handle_);
}

void Poller::Serve(Handle* handle, Loop& loop, std::uint32_t events) {
  if (handle->detached || handle->interest == kNone) return;
  Ready ready;
  const bool shut = (events & EPOLLHUP) != 0;
  if ((events & EPOLLERR) != 0) {
    ready.error = true;
    handle->interest = kNone;
    loop.sockets_->Unwatch(handle);
  } else {
    // The interest may have changed since the kernel made the event.
    ready.read = (handle->interest & kRead) != 0 && (shut || (events & EPOLLIN) != 0);
    ready.write = (handle->interest & kWrite) != 0 && (shut || (events & EPOLLOUT) != 0);
    ready.other = (handle->interest & kErrors) != 0 && shut;
    if (!ready.read && !ready.write && !ready.other) return;
  }
  handle->on_ready(ready);  // may destroy the Poller; the Handle lives until the batch is served
}

struct Signals::Handle {
  uv_signal_t uv{};
  std::function<void()> on_signal;
  bool detached = false;
};

Signals::Signals(Loop& loop, int signal_number, std::function<void()> on_signal)
    : handle_(new Handle) {
  handle_->on_signal = std::move(on_signal);
  Check(uv_signal_init(loop.raw(), &handle_->uv), "signal");
  handle_->uv.data = handle_;
  loop.uv_changed_ = true;
  Check(uv_signal_start(
            &handle_->uv,
            [](uv_signal_t* raw, int) {
              auto* handle = static_cast<Handle*>(raw->data);
              if (!handle->detached) handle->on_signal();
            },
            signal_number),
        "signal");
}

Signals::~Signals() {
  handle_->detached = true;
  Close(handle_);
}

}  // namespace mooring::net
