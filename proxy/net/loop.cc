#include "proxy/net/loop.h"

#include <uv.h>

#include <cstdio>
#include <cstdlib>

namespace mooring::net {
namespace {

// Check ends the process when libuv refuses what it can only refuse by our mistake.
void Check(int rc, const char* what) {
  if (rc == 0) return;
  std::fprintf(stderr, "mooring: %s: %s\n", what, uv_strerror(rc));
  std::abort();
}

// Close frees a handle in its close callback, the only moment when libuv has forgotten it.
template <typename H>
void Close(H* handle) {
  uv_close(reinterpret_cast<uv_handle_t*>(&handle->uv),
           [](uv_handle_t* raw) { delete static_cast<H*>(raw->data); });
}

}  // namespace

Loop::Loop()
    : loop_(std::make_unique<uv_loop_t>()),
      wake_(std::make_unique<uv_async_t>()),
      cipher_(kReadBurst),
      plain_(kPlainScratch) {
  Check(uv_loop_init(loop_.get()), "event loop");
  Check(uv_async_init(loop_.get(), wake_.get(),
                      [](uv_async_t* async) { static_cast<Loop*>(async->data)->RunTasks(); }),
        "event loop wake-up");
  wake_->data = this;
}

Loop::~Loop() {
  uv_close(reinterpret_cast<uv_handle_t*>(wake_.get()), nullptr);
  // What is left to run: close callbacks, and name look-ups that nobody waits for any more. A handle that
  // somebody still owns would keep this loop for ever, so it is found first.
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

void Loop::Run() { uv_run(loop_.get(), UV_RUN_DEFAULT); }

void Loop::Stop() { uv_stop(loop_.get()); }

void Loop::Post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
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
  }
  for (auto& task : tasks) task();
}

MonotonicTime Loop::now() const {
  return MonotonicTime(milliseconds(static_cast<std::int64_t>(uv_now(loop_.get()))));
}

struct Timer::Handle {
  uv_timer_t uv{};
  std::function<void()> on_fire;
  bool detached = false;  // the Timer is gone; the function itself stays, it may be running
};

Timer::Timer(Loop& loop, std::function<void()> on_fire) : handle_(new Handle) {
  handle_->on_fire = std::move(on_fire);
  Check(uv_timer_init(loop.raw(), &handle_->uv), "timer");
  handle_->uv.data = handle_;
}

Timer::~Timer() {
  handle_->detached = true;
  Close(handle_);
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

struct Poller::Handle {
  uv_poll_t uv{};
  std::function<void(Ready)> on_ready;
  unsigned interest = kNone;
  bool detached = false;
};

namespace {
int ToUv(unsigned interest) {
  int events = 0;
  if ((interest & Poller::kRead) != 0) events |= UV_READABLE;
  if ((interest & Poller::kWrite) != 0) events |= UV_WRITABLE;
  if ((interest & Poller::kErrors) != 0) events |= UV_PRIORITIZED;
  return events;
}
}  // namespace

Poller::Poller(Loop& loop, int fd, std::function<void(Ready)> on_ready) : handle_(new Handle) {
  handle_->on_ready = std::move(on_ready);
  Check(uv_poll_init(loop.raw(), &handle_->uv, fd), "poll");
  handle_->uv.data = handle_;
}

Poller::~Poller() {
  handle_->detached = true;
  uv_poll_stop(&handle_->uv);
  Close(handle_);
}

unsigned Poller::interest() const { return handle_->interest; }

void Poller::Set(unsigned interest) {
  if (interest == handle_->interest) return;
  handle_->interest = interest;
  if (interest == kNone) {
    uv_poll_stop(&handle_->uv);
    return;
  }
  uv_poll_start(&handle_->uv, ToUv(interest), [](uv_poll_t* raw, int status, int events) {
    auto* handle = static_cast<Handle*>(raw->data);
    if (handle->detached) return;
    Ready ready;
    ready.read = (events & UV_READABLE) != 0;
    ready.write = (events & UV_WRITABLE) != 0;
    ready.other = (events & UV_PRIORITIZED) != 0;
    if (status < 0) {  // EPOLLERR: libuv has stopped the handle
      ready.error = true;
      handle->interest = kNone;
    }
    handle->on_ready(ready);  // may destroy the Poller; the Handle lives until its close callback
  });
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
