#include "proxy/log/queue.h"

#include <utility>

namespace mooring::log {
namespace {

// What is kept for the next lines when a batch is done. A flood's buffers go back.
constexpr std::size_t kKeptBytes = 16u * 1024;

}  // namespace

bool Queue::Push(Level level, std::string_view line) noexcept {
  bool fits = false;
  {
    const std::lock_guard lock(mutex_);
    const bool common = level < Level::kWarn;
    const auto part = [common](std::size_t all) {
      return common ? all / kCommonDenominator * kCommonNumerator : all;
    };
    fits = !closed_ && taken_bytes_ + bytes_.size() + line.size() <= part(kBytes) &&
           taken_lines_ + lines_.size() < part(kLines);
    if (fits) {
      try {
        bytes_.append(line);
        try {
          lines_.push_back({static_cast<std::uint32_t>(line.size()), level});
        } catch (...) {
          bytes_.resize(bytes_.size() - line.size());
          fits = false;
        }
      } catch (...) {
        fits = false;
      }
    }
    if (!fits) {
      dropped_.Add(level);
      dropped_news_.Add(level);
    }
  }
  changed_.notify_one();  // no system call unless the writer waits
  return fits;
}

void Queue::Drop(Level level) noexcept {
  const std::lock_guard lock(mutex_);
  dropped_.Add(level);
  dropped_news_.Add(level);
}

void Queue::WakeAt(Time when) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (!wake_at_ || when < *wake_at_) wake_at_ = when;
  }
  changed_.notify_one();
}

void Queue::Close() noexcept {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_one();
}

Counts Queue::Dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

void Queue::Take(Batch* batch) {
  batch->bytes.clear();
  batch->lines.clear();
  if (batch->bytes.capacity() > kKeptBytes) std::string().swap(batch->bytes);
  if (batch->lines.capacity() * sizeof(Batch::Mark) > kKeptBytes)
    std::vector<Batch::Mark>().swap(batch->lines);
  std::unique_lock lock(mutex_);
  while (lines_.empty() && dropped_news_.Total() == 0 && !closed_) {
    if (!wake_at_) {
      changed_.wait(lock);
    } else if (changed_.wait_until(lock, *wake_at_) == std::cv_status::timeout) {
      break;
    }
  }
  if (wake_at_ && std::chrono::steady_clock::now() >= *wake_at_) wake_at_.reset();
  batch->bytes.swap(bytes_);
  batch->lines.swap(lines_);
  batch->dropped = std::exchange(dropped_news_, {});
  batch->last = closed_;
  taken_bytes_ += batch->bytes.size();
  taken_lines_ += batch->lines.size();
}

void Queue::Release(std::size_t bytes, std::size_t lines) {
  {
    const std::lock_guard lock(mutex_);
    taken_bytes_ -= bytes;
    taken_lines_ -= lines;
  }
  emptied_.notify_all();
}

bool Queue::AwaitEmpty(Time deadline) {
  std::unique_lock lock(mutex_);
  return emptied_.wait_until(lock, deadline,
                             [this] { return taken_lines_ == 0 && lines_.empty(); });
}

void Queue::AddLost(const Counts& lost) {
  const std::lock_guard lock(mutex_);
  dropped_.Add(lost);
}

}  // namespace mooring::log
