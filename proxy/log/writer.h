// Writer: the one thread that writes the log, and the only one that a reader who does not read can
// hold up.
//
// It writes whole lines, as many as fit into PIPE_BUF at once, so that lines of processes that
// share a pipe are not torn. What could not be written or did not fit into the queue is said in a
// line when there is room again. Summaries of rationed lines come at the end of their windows. All
// signals are blocked in it.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>

#include <pthread.h>

#include "proxy/log/line.h"
#include "proxy/log/output.h"
#include "proxy/log/queue.h"
#include "proxy/log/rations.h"

namespace mooring::log {

// Core is what the threads that log and the writer share. It lives as long as the longest of them:
// a writer that is stuck in the kernel may outlive the Log.
struct Core {
  Core(int fd, Format line_format, Level least) : format(line_format), level(least), output(fd) {}

  const Format format;
  std::atomic<Level> level;  // what is less is not written
  Queue queue;
  Rations rations;
  Output output;  // the writer's

  std::mutex mutex;
  std::condition_variable over;
  bool ended = false;  // guarded by mutex
};

class Writer final {
 public:
  explicit Writer(std::shared_ptr<Core> core);
  ~Writer();  // Close with kCloseTime
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  static constexpr std::chrono::milliseconds kCloseTime{1'000};

  // failure is why there is no thread, an errno value; 0 if there is one.
  int failure() const { return failure_; }
  // Close writes what is queued, and waits for that as long as `limit`. Then the thread has ended
  // or is left behind. Only the first call does something.
  void Close(std::chrono::milliseconds limit) noexcept;

 private:
  const std::shared_ptr<Core> core_;
  pthread_t thread_{};
  int failure_ = 0;
  bool closed_ = false;
};

}  // namespace mooring::log
