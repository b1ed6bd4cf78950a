// Rations: lines that others can cause as often as they like, so that they fill no disk: kLines of
// each topic in each window of kWindow. What is left out is counted, by who caused it, and told at
// the end of the window (Close) and in /status.
//
// It writes nothing and knows no clock. Any thread; nobody holds its lock for longer than a table
// of 16 names is searched.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/log/heavy_hitters.h"
#include "proxy/log/line.h"

namespace mooring::log {

using MonotonicTime = std::chrono::steady_clock::time_point;

// LeftOut is what was not written of one topic.
struct LeftOut {
  std::string_view message;  // of the lines that were left out
  std::string_view reason;
  Level level = Level::kInfo;  // the highest of theirs
  std::uint64_t lines = 0;
  std::chrono::milliseconds span{0};  // in which they were left out
  std::vector<HeavyHitters::Hitter> largest;
};

class Rations final {
 public:
  static constexpr int kLines = 10;
  static constexpr std::chrono::seconds kWindow{10};
  static constexpr std::size_t kMaxTopics = 128;  // beyond that, topics share one
  static constexpr std::size_t kNamed = 3;        // callers that a summary names

  struct Taken {
    bool write = false;
    std::optional<MonotonicTime> due;  // the first one left out: Close has something to say then
  };
  // Take says whether a line may be written, and counts it for `who` if not. Message and reason are
  // the topic; the text of both must live as long as the program (a close reason's name, an errno's
  // name).
  Taken Take(MonotonicTime now, Level level, std::string_view message, std::string_view reason,
             std::string_view who) noexcept;

  // Close takes out what was left out in windows that are over; with `all`, in the others, too.
  std::vector<LeftOut> Close(MonotonicTime now, bool all);
  // NextDue is when Close will have something to say, if nothing else happens.
  std::optional<MonotonicTime> NextDue() const;

  // Totals are for the whole life, span 0, the largest number first.
  std::vector<LeftOut> Totals() const;

 private:
  using Topic = std::pair<std::string_view, std::string_view>;
  struct Entry {
    MonotonicTime window_start{};
    int used = 0;
    // Since `since`, told at `due`. A writer that is late may tell of more than one window.
    std::uint64_t left_out = 0;
    MonotonicTime since{};
    MonotonicTime due{};
    Level level = Level::kTrace;
    HeavyHitters who;
    // Of the whole life.
    std::uint64_t total = 0;
    Level total_level = Level::kTrace;
    HeavyHitters total_who;
  };

  mutable std::mutex mutex_;
  std::map<Topic, Entry> topics_;
};

}  // namespace mooring::log
