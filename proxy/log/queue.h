// Queue: lines on their way from any thread to the one that writes them, bounded in bytes and in
// lines.
//
// A line that does not fit is dropped and counted by its level: the newest goes, so that what came
// before a flood stays, and a part of the room is for warnings and errors alone. Nobody waits here
// but the writer; the lock is held for as long as it takes to copy a line.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/log/line.h"

namespace mooring::log {

// Counts are numbers of lines by level.
struct Counts {
  std::array<std::uint64_t, kLevels> of{};

  void Add(Level level) { ++of[static_cast<std::size_t>(level)]; }
  void Add(const Counts& other) {
    for (std::size_t i = 0; i < kLevels; ++i) of[i] += other.of[i];
  }
  std::uint64_t Total() const {
    std::uint64_t total = 0;
    for (const std::uint64_t one : of) total += one;
    return total;
  }
};

// Batch is what the writer takes at once.
struct Batch {
  struct Mark {
    std::uint32_t size;  // bytes, newline included
    Level level;
  };
  std::string bytes;
  std::vector<Mark> lines;
  Counts dropped;     // since the batch before; they came after the first of these lines
  bool last = false;  // the queue is closed, and empty now
};

class Queue final {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Half a megabyte is some 3,000 lines; the rest of it is what a burst of debug lines may hold of
  // a small cgroup.
  static constexpr std::size_t kBytes = 512u * 1024;
  static constexpr std::size_t kLines = 8192;
  // Of both, this share is for everybody; the rest is for warnings and errors.
  static constexpr std::size_t kCommonNumerator = 3, kCommonDenominator = 4;

  // Push is false if the line was dropped, also for want of memory.
  bool Push(Level level, std::string_view line) noexcept;
  // Drop counts a line that was never made.
  void Drop(Level level) noexcept;
  // WakeAt makes Take return then at the latest, once.
  void WakeAt(Time when) noexcept;
  // Close lets the writer take what is left, and drops what comes later.
  void Close() noexcept;

  // AwaitEmpty is true when all that was pushed before is written or lost, false if that takes
  // longer than until `deadline`.
  bool AwaitEmpty(Time deadline);

  // Dropped counts what was dropped here or given back by AddLost, ever.
  Counts Dropped() const;

  // For the writer alone. Take waits for lines, for the time of WakeAt or for Close; the batch
  // keeps its room in the queue until Release says that so many of its bytes and lines are gone.
  void Take(Batch* batch);
  void Release(std::size_t bytes, std::size_t lines);
  // AddLost counts lines that were taken and could not be written.
  void AddLost(const Counts& lost);

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable emptied_;
  std::string bytes_;
  std::vector<Batch::Mark> lines_;
  std::size_t taken_bytes_ = 0;
  std::size_t taken_lines_ = 0;
  Counts dropped_;       // ever
  Counts dropped_news_;  // since the last Take
  std::optional<Time> wake_at_;
  bool closed_ = false;
};

}  // namespace mooring::log
