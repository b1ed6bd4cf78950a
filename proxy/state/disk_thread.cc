#include "proxy/state/disk_thread.h"

#include <utility>

#include "proxy/net/thread.h"

namespace mooring::state {

// A write beyond the process's limit on file sizes shall fail, not end the process (SIGXFSZ). And
// signals that the program waits for are none of this thread's business.
DiskThread::DiskThread()
    : thread_(net::StartQuietThread("state", "saving the state", [this] { Run(); })) {}

DiskThread::~DiskThread() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void DiskThread::Add(Work& work) noexcept {
  {
    const std::lock_guard lock(mutex_);
    Work** last = &first_;
    while (*last != nullptr) last = &(*last)->next_;
    *last = &work;
    ++work.pending_;
  }
  changed_.notify_all();
}

void DiskThread::Await(Work& work) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&work] { return work.pending_ == 0; });
}

void DiskThread::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return first_ != nullptr || ending_; });
    if (first_ == nullptr) return;
    Work& work = *first_;
    first_ = std::exchange(work.next_, nullptr);
    lock.unlock();
    work.Do();  // its owner may add it again before this returns
    lock.lock();
    --work.pending_;
    changed_.notify_all();
  }
}

}  // namespace mooring::state
