// Disk: one store's saves, one at a time, on the thread that all stores of the process share
// (disk_thread.h). Owned and called by one thread, the loop's.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "proxy/state/disk_thread.h"
#include "proxy/state/folder.h"
#include "proxy/state/save.h"

namespace mooring::state {

class Disk final : private DiskThread::Work {
 public:
  // `folder` may be nullopt: the first save tries to open it. `on_done` is called on the disk's
  // thread when an outcome can be taken.
  Disk(std::shared_ptr<DiskThread> thread, std::string directory, std::string subdirectory,
       std::optional<Folder> folder, std::function<void()> on_done);
  ~Disk();  // waits for a save that was started
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  void Start(Job job);  // only when not busy
  bool busy() const { return busy_; }
  // LetGo closes the folder, and with it the lock; only when not busy. The next save opens it
  // again.
  void LetGo() { folder_.reset(); }
  // Take ends the busy time: the outcome of the save, nothing while it is under way or none was
  // started.
  std::optional<Outcome> Take();
  // Wait is true when there is an outcome to take, false after `deadline`.
  bool Wait(std::chrono::steady_clock::time_point deadline);

 private:
  void Do() override;

  const std::shared_ptr<DiskThread> thread_;
  const std::string directory_;
  const std::string subdirectory_;
  std::optional<Folder> folder_;  // the thread's while busy, else the owner's
  const std::function<void()> on_done_;
  bool busy_ = false;  // the owner's

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Job> job_;          // guarded by mutex_
  std::optional<Outcome> outcome_;  // guarded by mutex_
};

}  // namespace mooring::state
