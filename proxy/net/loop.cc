#include "proxy/net/loop.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <system_error>
#include <utility>

#include "proxy/log/output.h"
#include "proxy/net/loop_parts.h"
#include "proxy/net/scratch.h"

namespace mooring::net {
namespace {

std::system_error Refused(int error, const char* what) {
  return {error, std::generic_category(), what};
}

}  // namespace

void Check(int rc, const char* what) {
  if (rc == 0) return;
  std::array<char, 256> text{};
  std::snprintf(text.data(), text.size(), "mooring: %s: %s\n", what, uv_strerror(rc));
  // a reader that does not read keeps nobody alive
  (void)log::WriteWithin(STDERR_FILENO, text.data(), milliseconds(200));
  std::abort();
}

Loop::Loop()
    : loop_(std::make_unique<uv_loop_t>()),
      wake_(std::make_unique<uv_async_t>()),
      sockets_(std::make_unique<Sockets>()),
      timers_(std::make_unique<Timers>()),
      scratch_(std::make_unique<Scratch>()) {
  if (const int rc = uv_loop_init(loop_.get()); rc != 0) throw Refused(-rc, "no event loop");
  int error = Watch(loop_->async_io_watcher.fd);
  if (error == 0)
    error = sockets_->Control(EPOLL_CTL_ADD, uv_backend_fd(loop_.get()), EPOLLIN, nullptr);
  if (error == 0) {
    error = -uv_async_init(loop_.get(), wake_.get(),
                           [](uv_async_t* async) { static_cast<Loop*>(async->data)->RunTasks(); });
  }
  if (error != 0) {
    uv_loop_close(loop_.get());
    throw Refused(error, "no event loop");
  }
  wake_->data = this;
  uv_run(loop_.get(), UV_RUN_NOWAIT);  // libuv finds them watched
  uv_changed_ = false;
}

// Watch puts one of libuv's own descriptors into libuv's epoll set before libuv does: it takes one
// that is there already for watched, and ends the process where it cannot add one itself
// (uv__io_poll). 0 or an errno.
int Loop::Watch(int uv_descriptor) const {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = uv_descriptor;
  if (epoll_ctl(uv_backend_fd(loop_.get()), EPOLL_CTL_ADD, uv_descriptor, &event) == 0 ||
      errno == EEXIST)
    return 0;
  return errno;
}

Loop::~Loop() {
  attachment_.reset();
  // one by one: as a chain they would be destroyed recursively
  while (tasks_) tasks_ = std::move(tasks_->next);
  if (unusable_) {
    // libuv's next turn would end the process; closing needs one. What it holds goes with the
    // process.
    static const auto kept = std::make_pair(loop_.release(), wake_.release());
    (void)kept;
    return;
  }
  uv_close(reinterpret_cast<uv_handle_t*>(wake_.get()), nullptr);
  timers_->CloseAll();
  // What is left to run: close callbacks. A handle that somebody still owns would keep this loop
  // for ever, so it is found first.
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
    sockets_->ReportRefused(*this);
    sockets_->ClearDead();
    timers_->ClearResting(kTimersKept);
    const bool waiting =
        !deferred_.empty() || chores_ != nullptr || uv_changed_ || sockets_->changed != nullptr;
    int count = epoll_wait(sockets_->set.get(), sockets_->batch.data(), kBatch,
                           waiting ? 0 : uv_backend_timeout(loop_.get()));
    if (count < 0) {
      Check(errno == EINTR || IsShortage(errno) ? 0 : -errno, "epoll");
      if (errno != EINTR) {
        const timespec moment{.tv_sec = 0, .tv_nsec = 1'000'000};
        // no memory even to wait: timers go on, and this does not spin
        nanosleep(&moment, nullptr);
      }
      count = 0;
    }
    uv_update_time(loop_.get());
    bool uv_ready = std::exchange(uv_changed_, false);
    const std::size_t first = turn_.Begin(now());
    for (int i = 0; i < count; ++i) {
      if (has_tasks_.load(std::memory_order_acquire)) RunTasks();
      const epoll_event& event =
          sockets_->batch[(first + static_cast<std::size_t>(i)) % static_cast<std::size_t>(count)];
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
  if (escaped_) std::rethrow_exception(std::exchange(escaped_, nullptr));
}

void Loop::Escaped(Keeper* keeper) noexcept {
  if (keeper == nullptr) keeper = loop_keeper_;
  if (keeper != nullptr) {
    keeper->OnEscaped();
    return;
  }
  if (!escaped_) escaped_ = std::current_exception();
  Stop();
}

void Loop::RunDeferred() noexcept {
  while (!deferred_.empty() || chores_ != nullptr) {
    // By index: a task may defer another.
    for (std::size_t i = 0; i < deferred_.size(); ++i)
      Attend(nullptr, std::exchange(deferred_[i], nullptr));
    deferred_.clear();
    while (chores_ != nullptr) {
      Chore* chore = std::exchange(chores_, chores_->next_);
      chore->armed_ = false;
      Attend(nullptr, chore->run_);
    }
  }
}

void Loop::Stop() { stopped_ = true; }

void Loop::Post(std::unique_ptr<Task> task) noexcept {
  {
    const std::lock_guard lock(mutex_);
    Task* const last = task.get();
    (tasks_ ? last_task_->next : tasks_) = std::move(task);
    last_task_ = last;
    has_tasks_.store(true, std::memory_order_release);
  }
  uv_async_send(wake_.get());
}

void Loop::PostStop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stop_posted_ = true;
    has_tasks_.store(true, std::memory_order_release);
  }
  uv_async_send(wake_.get());
}

void Loop::RunTasks() noexcept {
  std::unique_ptr<Task> task;
  bool stop = false;
  {
    const std::lock_guard lock(mutex_);
    task = std::move(tasks_);
    stop = std::exchange(stop_posted_, false);
    has_tasks_.store(false, std::memory_order_relaxed);
  }
  for (; task; task = std::move(task->next)) Attend(nullptr, task->run);
  if (stop) Stop();
}

MonotonicTime Loop::now() const {
  return MonotonicTime(milliseconds(static_cast<std::int64_t>(uv_now(loop_.get()))));
}

Chore::~Chore() {
  if (!armed_) return;
  Chore** link = &loop_.chores_;
  while (*link != this) link = &(*link)->next_;
  *link = next_;
}

void Chore::Arm() noexcept {
  if (std::exchange(armed_, true)) return;
  next_ = std::exchange(loop_.chores_, this);
}

struct Signals::Handle {
  uv_signal_t uv{};
  Loop* loop = nullptr;
  std::function<void()> on_signal;
  bool detached = false;
};

Signals::Signals(Loop& loop, int signal_number, std::function<void()> on_signal)
    : handle_(new Handle) {
  handle_->loop = &loop;
  handle_->on_signal = std::move(on_signal);
  int error = -uv_signal_init(loop.raw(), &handle_->uv);
  if (error != 0) {
    delete std::exchange(handle_, nullptr);  // libuv does not know it
    throw Refused(error, "no signals");
  }
  handle_->uv.data = handle_;
  error = loop.Watch(loop.raw()->signal_pipefd[0]);
  loop.unusable_ = error != 0;
  loop.uv_changed_ = true;
  if (error == 0) {
    error = -uv_signal_start(
        &handle_->uv,
        [](uv_signal_t* raw, int) {
          auto* handle = static_cast<Handle*>(raw->data);
          if (!handle->detached) handle->loop->Attend(nullptr, handle->on_signal);
        },
        signal_number);
  }
  if (error == 0) return;
  Close(handle_);
  throw Refused(error, "no signals");
}

Signals::~Signals() {
  handle_->detached = true;
  Close(handle_);
}

}  // namespace mooring::net
