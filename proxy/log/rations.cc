#include "proxy/log/rations.h"

#include <algorithm>

namespace mooring::log {
namespace {

constexpr std::string_view kOthers = "others";

}  // namespace

Rations::Taken Rations::Take(MonotonicTime now, Level level, std::string_view message,
                             std::string_view reason, std::string_view who) noexcept {
  const std::lock_guard lock(mutex_);
  Entry* entry = nullptr;
  try {
    Topic topic{message, reason};
    if (topics_.size() >= kMaxTopics && !topics_.contains(topic)) topic = {kOthers, kOthers};
    entry = &topics_[topic];
  } catch (...) {
    // no memory to keep count of it: the queue's bounds hold all the same
    return {true, std::nullopt};
  }
  if (now - entry->window_start >= kWindow) {
    entry->window_start = now;
    entry->used = 0;
  }
  if (entry->used < kLines) {
    ++entry->used;
    return {true, std::nullopt};
  }
  Taken taken;
  if (entry->left_out == 0) {
    entry->since = now;
    entry->due = entry->window_start + kWindow;
    taken.due = entry->due;
    entry->level = level;
  }
  ++entry->left_out;
  ++entry->total;
  entry->level = std::max(entry->level, level);
  entry->total_level = std::max(entry->total_level, level);
  try {
    entry->who.Add(who);
    entry->total_who.Add(who);
  } catch (...) {  // no memory for a name: the numbers above are right all the same
  }
  return taken;
}

std::vector<LeftOut> Rations::Close(MonotonicTime now, bool all) {
  std::vector<LeftOut> closed;
  const std::lock_guard lock(mutex_);
  for (auto& [topic, entry] : topics_) {
    if (entry.left_out == 0 || (!all && now < entry.due)) continue;
    closed.push_back({topic.first, topic.second, entry.level, entry.left_out,
                      std::chrono::duration_cast<std::chrono::milliseconds>(now - entry.since),
                      entry.who.Largest(kNamed)});
    entry.left_out = 0;
    entry.who.Clear();
  }
  return closed;
}

std::optional<MonotonicTime> Rations::NextDue() const {
  std::optional<MonotonicTime> next;
  const std::lock_guard lock(mutex_);
  for (const auto& [topic, entry] : topics_) {
    if (entry.left_out > 0 && (!next || entry.due < *next)) next = entry.due;
  }
  return next;
}

std::vector<LeftOut> Rations::Totals() const {
  std::vector<LeftOut> totals;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [topic, entry] : topics_) {
      if (entry.total == 0) continue;
      totals.push_back({topic.first,
                        topic.second,
                        entry.total_level,
                        entry.total,
                        {},
                        entry.total_who.Largest(kNamed)});
    }
  }
  std::stable_sort(totals.begin(), totals.end(),
                   [](const LeftOut& a, const LeftOut& b) { return a.lines > b.lines; });
  return totals;
}

}  // namespace mooring::log
