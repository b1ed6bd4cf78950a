// Disk: one thread that does one save at a time, so that a slow disk never holds up the loop, nor a
// hung name look-up in libuv's pool a save. Owned and called by one thread, the loop's.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "proxy/state/folder.h"
#include "proxy/state/save.h"

namespace mooring::state {

class Disk final {
 public:
  // `folder` may be nullopt: the first save tries to open it. `on_done` is called on the disk's
  // thread when an outcome can be taken.
  Disk(std::string directory, std::string subdirectory, std::optional<Folder> folder,
       std::function<void()> on_done);
  ~Disk();  // waits for a save under way
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  void Start(Job job);  // only when not busy
  bool busy() const { return busy_; }
  // Take ends the busy time: the outcome of the save, nothing while it is under way or none was
  // started.
  std::optional<Outcome> Take();
  // Wait is true when there is an outcome to take, false after `deadline`.
  bool Wait(std::chrono::steady_clock::time_point deadline);

 private:
  void Work();

  const std::string directory_;
  const std::string subdirectory_;
  std::optional<Folder> folder_;  // the thread's
  const std::function<void()> on_done_;
  bool busy_ = false;  // the owner's

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Job> job_;          // guarded by mutex_
  std::optional<Outcome> outcome_;  // guarded by mutex_
  bool ending_ = false;             // guarded by mutex_
  std::thread thread_;
};

}  // namespace mooring::state
