#include "proxy/data/report.h"

#include <utility>

namespace mooring::data {

Reports::Reports(const Wanted& wanted) : reports_(MakeBatch()) { SetWanted(wanted); }

std::vector<Report> Reports::MakeBatch() {
  std::vector<Report> batch;
  batch.reserve(kCapacity);
  return batch;
}

void Reports::Note(Report&& report) noexcept {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (closed_ || reports_.size() >= kCapacity) {
      ++dropped_;
      return;
    }
    reports_.push_back(std::move(report));
    wake = std::exchange(idle_, false) || reports_.size() == kCapacity / 2;
  }
  if (wake) changed_.notify_one();
}

void Reports::Drop() noexcept {
  const std::lock_guard lock(mutex_);
  ++dropped_;
}

std::uint64_t Reports::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

void Reports::Close() noexcept {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_one();
}

bool Reports::Take(std::vector<Report>* batch) noexcept {
  batch->clear();
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kPause, [this] { return closed_ || reports_.size() >= kCapacity / 2; });
  while (reports_.empty() && !closed_) {
    idle_ = true;
    changed_.wait(lock);
  }
  idle_ = false;
  batch->swap(reports_);
  return !closed_;
}

}  // namespace mooring::data
