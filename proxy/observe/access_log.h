// AccessLog: entries on their way to an AccessTarget, through a bounded queue to one thread that
// writes them. A target that takes nothing costs entries, which are counted, and nothing else.
//
// Write is for one thread, Say for another; the rest is any thread's.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "proxy/log/log.h"
#include "proxy/net/clock.h"
#include "proxy/observe/access_target.h"
#include "proxy/observe/account.h"

namespace mooring::observe {

class AccessLog final {
 public:
  enum class Form { kText, kJson, kJournalText, kJournalJson };

  // throws std::system_error where there is no thread. `place` is what messages call the target.
  AccessLog(std::unique_ptr<AccessTarget> target, Form form, std::string place,
            unsigned refused_one_in);
  ~AccessLog();  // Close
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // Write leaves out what is not its turn among the refused, and says in the others how many they
  // stand for. It may throw std::bad_alloc.
  void Write(Account* account);
  // Reopen has the file opened anew before the next entry, and soon in any case.
  void Reopen() noexcept;
  std::uint64_t dropped() const { return core_->queue.Dropped().Total(); }

  // Say writes to the log what is missing here since it last said so, at most every 10 s, and what
  // was wrong with opening the file anew. `unreported` is how many connections' reports, ever, have
  // not even come to Write.
  void Say(log::Log& log, net::MonotonicTime now, std::uint64_t unreported);

  static constexpr std::chrono::milliseconds kCloseTime{1'000};
  // Close writes what is queued, within kCloseTime. Then the thread has ended, or is left behind in
  // a write that does not return.
  void Close() noexcept;

 private:
  // Core lives as long as the thread, which may be left behind.
  struct Core {
    explicit Core(std::unique_ptr<AccessTarget> where) : target(std::move(where)) {}

    log::Queue queue;
    const std::unique_ptr<AccessTarget> target;  // the thread's
    std::atomic<bool> reopen{false};
    std::atomic<int> error{0};  // of the last write that failed
    std::mutex mutex;           // of what follows
    std::condition_variable over;
    std::string trouble;  // with opening the file anew; empty: none, or said
    bool ended = false;
  };
  static void Work(Core* core);
  static void WriteBatch(Core* core, const log::Batch& batch);

  const std::shared_ptr<Core> core_;
  const Form form_;
  const std::string place_;
  const unsigned refused_one_in_;
  std::array<std::uint64_t, data::kCloseReasons> refused_{};
  std::uint64_t said_ = 0;
  net::MonotonicTime said_at_{};
  std::thread thread_;
};

}  // namespace mooring::observe
