// Loop, Timer, Poller, Signals. Destroying an object means "no callback comes any more"; the memory that its
// callback runs on goes later, which is why handles live on the heap here.
//
// Timers, signals and wake-ups from other threads are libuv's. Readiness of sockets is not: uv_poll takes a
// descriptor out of epoll and puts it back for every change of interest and tries two more calls per new one, which
// is a tenth of a short connection's cost. So sockets are in an epoll set of the Loop's own, and libuv's descriptor is in there, too
// (uv_backend_fd: that is how libuv wants to be embedded).
//
// One Loop per thread. Everything here belongs to the loop's thread, except Loop::Post and Loop::PostStop.
//
// Shortage: whatever comes out of a callback as an exception is caught where the Loop calls it, and handed to the Keeper of that
// callback; it never passes through libuv's C. What must not fail takes no memory: Start and Stop of a Timer, Set of a
// Poller, Chore::Arm, Post of a Task, every destructor.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "proxy/net/pages.h"
#include "tls/wire.h"

struct uv_loop_s;
struct uv_async_s;

namespace mooring::net {

class NameService;

using std::chrono::milliseconds;
using MonotonicTime = std::chrono::steady_clock::time_point;

// One read brings kReadBurst bytes at most, and what the other leg cannot take at once is all that a direction ever keeps:
// 7 whole TLS records (RFC 8446 5.2), so that both directions together stay below 256 KiB a connection. A read of
// up to kLargeBurst costs a bulk stream a fifth less (fewer acknowledgements and wake-ups a byte); it is for when the other
// leg's kernel buffer is known to have room for all of it.
inline constexpr std::size_t kRecordPayload = 16384;
inline constexpr std::size_t kRecord = kRecordPayload + 22;
inline constexpr std::size_t kReadBurst = 7 * kRecord;
inline constexpr std::size_t kLargeBurst = 64 * kRecord;
// What a turn of the loop may move, all streams together, before those stand back whose last read brought kHeavyRead or more; a
// stream takes one burst in a turn, and once it is full a record at most. So a message that is readable when a turn begins waits
// for that, one burst and kRecord of each other stream; one that becomes readable during a turn waits for the rest of that turn
// besides. A turn serves up to 256 sockets: with more of them ready at once, it is one of the next. Handshakes and
// accepted connections come on top.
// Where small messages pass (ServesLight), bursts are kReadBurst at most and a turn is a fifth as long: they cost the bulk
// streams beside them something, and gain milliseconds.
inline constexpr std::size_t kTurnBytes = 2 * kLargeBurst;
inline constexpr std::size_t kLightTurnBytes = 4 * kReadBurst;
inline constexpr std::size_t kHeavyRead = 16384;
inline constexpr milliseconds kLightFor{100};  // that long after the last small message

// Keeper answers for callbacks: a connection for those of its sockets and timers, the owner of a loop for the rest.
class Keeper {
 public:
  // OnEscaped is called inside the handler of what came out of a callback, a failed allocation most of all; the callback has
  // stopped wherever it stood. It may be called when memory is short, so it may do nothing that it cannot do without.
  virtual void OnEscaped() noexcept = 0;

 protected:
  ~Keeper() = default;
};

// Task is work for another thread's loop, made beforehand, so that handing it over cannot fail.
struct Task {
  explicit Task(std::function<void()> work) : run(std::move(work)) {}
  std::function<void()> run;
  std::unique_ptr<Task> next;  // the Loop's
};

class Chore;

class Loop final {
 public:
  Loop();  // throws std::bad_alloc, or std::system_error where the kernel has no descriptor, memory or epoll watch left
  ~Loop();  // aborts if a handle is still open: an object of this file outlived its loop
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Run serves events until Stop or PostStop; may be called again.
  void Run();
  void Stop();

  // SetKeeper names who answers for callbacks that have no other keeper. Without one, the first that escapes ends Run, which
  // throws it. The keeper must outlive Run.
  void SetKeeper(Keeper* keeper) { loop_keeper_ = keeper; }
  // Attend runs `act`, and hands what escapes to `keeper` (null: the loop's own). What is made meanwhile to call back (Poller,
  // Timer) has the same keeper for its life: it must be the keeper's own, and the keeper must outlive it and the event in which it
  // was destroyed.
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

  // Adopt is for a Keeper under construction: what is made from here to the end of the callback under way is `keeper`'s.
  void Adopt(Keeper* keeper) { keeper_ = keeper; }

  // Post runs `task` on the loop's thread, after the event under way and before the next one, so that what another thread
  // has decided holds for every event served after it; tasks keep their order. Any thread. Tasks still waiting when the loop is
  // destroyed are dropped.
  void Post(std::function<void()> task) { Post(std::make_unique<Task>(std::move(task))); }
  void Post(std::unique_ptr<Task> task) noexcept;
  // Defer is Post for the loop's own thread, without a system call: runs `task` once the events at hand are served.
  void Defer(std::function<void()> task) { deferred_.push_back(std::move(task)); }
  void PostStop() noexcept;  // any thread; after the tasks posted before

  MonotonicTime now() const;  // cached at the start of the event, as libuv keeps it

  // Scratch memory, valid within one event only: whoever calls into another object gives it up. A partial record kept inside
  // a tls::Session can be completed by the next burst, hence plain_scratch is two records larger.
  std::span<std::uint8_t> cipher_scratch() { return cipher_.bytes(); }
  std::span<std::uint8_t> plain_scratch() { return plain_.bytes(); }
  tls::WireBytes& out_scratch();
  // TrimScratch gives memory back if there has been no large burst since the last call.
  void TrimScratch();

  // NoteMoved counts a turn's bytes; TurnIsFull says that heavy streams have to stand back until the next one.
  void NoteMoved(std::size_t bytes) {
    turn_bytes_ += bytes;
    if (bytes > kReadBurst) large_bursts_ = true;
  }
  bool TurnIsFull() const { return turn_bytes_ >= (ServesLight() ? kLightTurnBytes : kTurnBytes); }
  // NoteLight is for a read on a connection of small messages.
  void NoteLight() { light_until_ = now() + kLightFor; }
  bool ServesLight() const { return now() < light_until_; }

  // NameService is where host names are resolved for this loop; made when it is first asked for.
  NameService& name_service();

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
  std::unique_ptr<NameService> name_service_;
  Pages cipher_, plain_;
  tls::WireBytes out_;
  std::size_t turn_bytes_ = 0;
  MonotonicTime light_until_{};
  std::size_t first_ = 0;  // where in the kernel's list a turn begins
  bool large_bursts_ = false;  // since the last TrimScratch
  bool trim_due_ = false;
};

// Chore is what has to be done once the events at hand are served, whenever that comes up: it is made once, by its owner.
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
  friend class Loop;
  struct Handle;
  Loop& loop_;
  Handle* handle_;
};

// Poller reports readiness of a file descriptor, level-triggered. It does not own the descriptor, which
// must be closed after the Poller is destroyed, never before.
class Poller final {
 public:
  // kErrors waits for nothing but a failed socket: epoll reports that on descriptors that it watches, even for nothing.
  enum Interest : unsigned { kNone = 0, kRead = 1, kWrite = 2, kErrors = 4 };
  struct Ready {
    bool read = false;
    bool write = false;
    bool other = false;  // both directions are shut: would be reported for ever
    bool error = false;  // the socket has failed, or is not watched; polling has stopped, the interest is kNone now
    int refused = 0;     // with `error`: the errno by which the kernel would not watch it. The socket itself may be well
  };

  // Shared: several loops wait for the same socket, and one of them is enough to wake (EPOLLEXCLUSIVE). The kernel takes the loop
  // that waits, the same one as long as it keeps up, so that a second loop sleeps while one is enough. Such a Poller knows
  // kRead and kNone only.
  enum class Sharing { kAlone, kShared };

  Poller(Loop& loop, int fd, std::function<void(Ready)> on_ready, Sharing sharing = Sharing::kAlone);
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // Set changes what is waited for, from the loop's next turn on. What is taken back before costs no system call. Where the
  // kernel has no watch or memory left for it then, on_ready is told (Ready::refused); asked for again at once, it will fail again.
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
