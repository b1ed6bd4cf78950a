// Report: what a connection has come to, told at its end, and where that is asked for when its
// bytes begin to pass and now and then while they do. Reports is their way from the workers to the
// one thread that reads them.
//
// Bounded: a worker never waits here and takes no memory; what the reader is too slow for is
// dropped and counted. The lock is held for as long as it takes to move a record.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "proxy/data/record.h"
#include "proxy/net/clock.h"

namespace mooring::data {

struct Report {
  enum class What { kStart, kAlive, kEnd };
  What what = What::kEnd;
  unsigned service = 0;  // its number (observe/recorder.h)
  net::MonotonicTime at{};
  Record record;
};

class Reports final {
 public:
  static constexpr std::size_t kCapacity = 1024;
  // The reader comes back after this time, or once half of the room is taken: so a connection wakes
  // nobody by itself where there are many.
  static constexpr net::milliseconds kPause{50};

  // Wanted is what is to be reported besides ends.
  struct Wanted {
    bool starts = false;
    net::milliseconds every{0};  // of a connection that lives; 0: never
  };
  // throws std::bad_alloc: all the memory that it will need is taken here
  explicit Reports(const Wanted& wanted);
  Reports(const Reports&) = delete;
  Reports& operator=(const Reports&) = delete;

  // SetWanted is for another thread than the connections'; it holds from then on.
  Wanted wanted() const noexcept {
    return {starts_.load(std::memory_order_relaxed),
            net::milliseconds(every_ms_.load(std::memory_order_relaxed))};
  }
  void SetWanted(const Wanted& wanted) noexcept {
    starts_.store(wanted.starts, std::memory_order_relaxed);
    every_ms_.store(wanted.every.count(), std::memory_order_relaxed);
  }

  // Any thread. Drop counts a report that there was no memory to make.
  void Note(Report&& report) noexcept;
  void Drop() noexcept;
  std::uint64_t dropped() const;  // ever
  // Close has Take give out what is left; later reports are dropped.
  void Close() noexcept;

  // Take waits for reports, and exchanges `batch` for all that there are; what was in it is
  // destroyed first. False: it is closed, and these were the last. One thread; takes no memory if
  // `batch` is MakeBatch's.
  bool Take(std::vector<Report>* batch) noexcept;
  static std::vector<Report> MakeBatch();

 private:
  std::atomic<bool> starts_{false};
  std::atomic<std::int64_t> every_ms_{0};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Report> reports_;
  std::uint64_t dropped_ = 0;
  bool idle_ = false;  // the reader waits for the next one
  bool closed_ = false;
};

}  // namespace mooring::data
