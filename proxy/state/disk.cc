#include "proxy/state/disk.h"

#include <chrono>
#include <new>
#include <thread>
#include <utility>

namespace mooring::state {
namespace {

constexpr std::chrono::milliseconds kWaitForMemory{100};

// Insist does `what` again until there is memory for it: nobody else can.
template <typename What>
void Insist(const What& what) {
  for (;;) {
    try {
      what();
      return;
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(kWaitForMemory);
    }
  }
}

}  // namespace

Disk::Disk(std::shared_ptr<DiskThread> thread, std::string directory, std::string subdirectory,
           std::optional<Folder> folder, std::function<void()> on_done)
    : thread_(std::move(thread)),
      directory_(std::move(directory)),
      subdirectory_(std::move(subdirectory)),
      folder_(std::move(folder)),
      on_done_(std::move(on_done)) {}

Disk::~Disk() { thread_->Await(*this); }

void Disk::Start(Job job) {
  busy_ = true;
  {
    const std::lock_guard lock(mutex_);
    job_.emplace(std::move(job));
  }
  thread_->Add(*this);
}

std::optional<Outcome> Disk::Take() {
  const std::lock_guard lock(mutex_);
  if (!outcome_) return std::nullopt;
  busy_ = false;
  return std::exchange(outcome_, std::nullopt);
}

bool Disk::Wait(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline, [this] { return outcome_.has_value(); });
}

void Disk::Do() {
  std::optional<Job> job;
  {
    const std::lock_guard lock(mutex_);
    job = std::exchange(job_, std::nullopt);
  }
  Outcome outcome;
  Insist([&] { outcome = Save(directory_, subdirectory_, &folder_, *job); });
  {
    const std::lock_guard lock(mutex_);
    outcome_.emplace(std::move(outcome));
  }
  changed_.notify_all();
  Insist(on_done_);
}

}  // namespace mooring::state
