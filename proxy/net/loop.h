// Loop: one thread's events. Beside it what calls back on that thread: Timer, Poller (sockets),
// Signals, Chore.
//
// Everything here belongs to the loop's thread, except Loop::Post and Loop::PostStop, which any
// thread may call.
//
// An object that is destroyed calls back no more, even from inside its own callback. The memory
// that the callback runs on is freed later. That is why handles live on the heap.
//
// Timers, signals and wake-ups from other threads are libuv's. Sockets are in an epoll set of the
// Loop's own: uv_poll takes a descriptor out of epoll and puts it back for every change of
// interest, and makes two more calls for each new one, which is a tenth of the cost of a short
// connection. libuv's own descriptor is in that set, too (uv_backend_fd). The set is served in
// batches; one batch is a turn (turn.h).
//
// An exception that leaves a callback is caught where the Loop calls it. It goes to the Keeper of
// that callback, and never passes through libuv's C. What has to work while memory is short takes
// none: Start and Stop of a Timer, Set of a Poller, Chore::Arm, Post of a Task, every destructor.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "proxy/net/clock.h"
#include "proxy/net/turn.h"

struct uv_loop_s;
struct uv_async_s;

namespace mooring::net {

class Scratch;

// Keeper answers for callbacks that end by an exception. A connection is the keeper of its sockets
// and timers, the owner of a loop that of the rest.
class Keeper {
 public:
  // OnEscaped is called inside the handler of the exception. The callback has stopped wherever it
  // stood. The exception is a failed allocation most often, so this has to work without memory.
  virtual void OnEscaped() noexcept = 0;
  // BeforeEvent comes before each event of its sockets. False: the event is dropped, for the keeper
  // is over.
  virtual bool BeforeEvent() noexcept { return true; }

 protected:
  ~Keeper() = default;
};

// Task is work for another thread's loop. It is made beforehand, so that handing it over cannot
// fail.
struct Task {
  explicit Task(std::function<void()> work) : run(std::move(work)) {}
  std::function<void()> run;
  std::unique_ptr<Task> next;  // the Loop's
};

// Attachment is an object that a loop carries for its users without knowing what it is. It ends
// with the loop.
class Attachment {
 public:
  virtual ~Attachment() = default;
};

class Chore;

class Loop final {
 public:
  // throws std::bad_alloc, or std::system_error where the kernel has no descriptor, memory or epoll
  // watch left
  Loop();
  ~Loop();  // aborts if a handle is still open: an object of this file outlived its loop
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Run serves events until Stop or PostStop. It may be called again.
  void Run();
  void Stop();

  // SetKeeper names who answers for callbacks that have no other keeper, and must outlive Run.
  // Without one, the first exception that escapes ends Run, which throws it.
  void SetKeeper(Keeper* keeper) { loop_keeper_ = keeper; }
  // Attend runs `act`, and hands what escapes to `keeper` (null: the loop's own). A Poller or Timer
  // that is made meanwhile has the same keeper for its life. So it must be the keeper's own, and
  // the keeper must outlive both it and the event in which it was destroyed.
  template <typename Act>
  void Attend(Keeper* keeper, const Act& act) noexcept {
    Keeper* const before = std::exchange(keeper_, keeper);
    try {
      act();
    } catch (...) {
      Escaped(keeper);
    }
    keeper_ = before;
  }

  // Adopt is for a Keeper under construction: from here to the end of the callback under way, what
  // is made is `keeper`'s.
  void Adopt(Keeper* keeper) { keeper_ = keeper; }

  // Post runs `task` on the loop's thread, after the event under way and before the next one. So
  // what another thread has decided holds for every event that is served after it. Tasks keep their
  // order. Any thread. Tasks that still wait when the loop is destroyed are dropped.
  void Post(std::function<void()> task) { Post(std::make_unique<Task>(std::move(task))); }
  void Post(std::unique_ptr<Task> task) noexcept;
  // Defer is for the loop's own thread, and makes no system call: it runs `task` once the events at
  // hand are served.
  void Defer(std::function<void()> task) { deferred_.push_back(std::move(task)); }
  void PostStop() noexcept;  // any thread; after the tasks posted before

  // now is read from the clock once a turn, before its first event. Timer::Start reads it again. So
  // it may be as old as the events that the turn has served since.
  MonotonicTime now() const;

  Turn& turn() { return turn_; }
  Scratch& scratch() { return *scratch_; }
  // attachment is empty until somebody fills it (NameService::Of does).
  std::unique_ptr<Attachment>& attachment() { return attachment_; }

  uv_loop_s* raw() { return loop_.get(); }

 private:
  friend class Chore;
  friend class Poller;
  friend class Signals;
  friend class Timer;
  struct Sockets;
  struct Timers;

  int Watch(int uv_descriptor) const;
  void Escaped(Keeper* keeper) noexcept;
  void RunTasks() noexcept;
  void RunDeferred() noexcept;

  std::unique_ptr<uv_loop_s> loop_;
  std::unique_ptr<uv_async_s> wake_;
  std::unique_ptr<Sockets> sockets_;
  std::unique_ptr<Timers> timers_;
  bool stopped_ = false;
  bool unusable_ = false;   // libuv holds a descriptor that it cannot watch
  bool uv_changed_ = true;  // libuv has descriptors that its next turn will begin to watch
  Keeper* loop_keeper_ = nullptr;
  Keeper* keeper_ = nullptr;  // of the callback that is running
  std::exception_ptr escaped_;
  std::vector<std::function<void()>> deferred_;
  Chore* chores_ = nullptr;
  std::mutex mutex_;
  std::unique_ptr<Task> tasks_;          // guarded by mutex_
  Task* last_task_ = nullptr;            // guarded by mutex_
  bool stop_posted_ = false;             // guarded by mutex_
  std::atomic<bool> has_tasks_ = false;  // or a stop; written under mutex_, read without
  std::unique_ptr<Attachment> attachment_;
  std::unique_ptr<Scratch> scratch_;
  Turn turn_;
};

// Chore is work that comes up again and again, and is done once the events at hand are served. Its
// owner makes it once.
class Chore final {
 public:
  Chore(Loop& loop, std::function<void()> run) : loop_(loop), run_(std::move(run)) {}
  ~Chore();
  Chore(const Chore&) = delete;
  Chore& operator=(const Chore&) = delete;
  void Arm() noexcept;  // armed twice, it runs once

 private:
  friend class Loop;
  Loop& loop_;
  const std::function<void()> run_;
  bool armed_ = false;
  Chore* next_ = nullptr;
};

// Timer fires once for each Start. Starting one that runs already moves it.
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
  friend class Loop;
  struct Handle;
  Loop& loop_;
  Handle* handle_;
};

// Poller reports readiness of a file descriptor, level-triggered. It does not own the descriptor.
// The descriptor must be closed after the Poller is destroyed, never before.
class Poller final {
 public:
  // kErrors waits for nothing but a failed socket, which epoll reports on every descriptor that it
  // watches.
  enum Interest : unsigned { kNone = 0, kRead = 1, kWrite = 2, kErrors = 4 };
  struct Ready {
    bool read = false;
    bool write = false;
    // both directions are shut, which epoll goes on reporting as long as the interest lasts
    bool other = false;
    // the socket has failed or cannot be watched. Polling has stopped: the interest is kNone now
    bool error = false;
    // with `error`: the errno by which the kernel refused to watch it. The socket itself may be
    // well
    int refused = 0;
  };

  // kShared: several loops wait for the same socket, and it is enough to wake one of them
  // (EPOLLEXCLUSIVE). The kernel wakes a loop that is waiting, and the same one as long as it keeps
  // up, so that a second loop sleeps while one is enough. Such a Poller knows no interest but kRead
  // and kNone.
  enum class Sharing { kAlone, kShared };

  Poller(Loop& loop, int fd, std::function<void(Ready)> on_ready,
         Sharing sharing = Sharing::kAlone);
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // Set changes what is waited for, from the loop's next turn on. A change that is taken back
  // before then costs no system call. If the kernel has no memory or watch left, on_ready is told
  // (Ready::refused). Asking again at once fails again.
  void Set(unsigned interest);
  unsigned interest() const;

 private:
  friend class Loop;
  struct Handle;
  static void Serve(Handle* handle, Loop& loop, std::uint32_t events);

  Loop& loop_;
  Handle* handle_;
};

// Signals calls back on the loop's thread for each delivery of one signal.
class Signals final {
 public:
  Signals(Loop& loop, int signal_number, std::function<void()> on_signal);  // throws like Loop
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

 private:
  struct Handle;
  Handle* handle_;
};

}  // namespace mooring::net
