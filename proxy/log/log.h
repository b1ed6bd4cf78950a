// Log: one line an event, as text or as JSON, on standard error. Any thread; nothing here blocks or
// throws.
//
// A line is module, message and fields. Module, message and keys are the program's own words;
// fields are the facts, raw, and are escaped where lines are made (line.h). Never pass a key or a
// token. Lines go through a bounded queue to one writer: a reader who does not read costs lines,
// which are counted, and nothing else.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "proxy/log/line.h"
#include "proxy/log/literal.h"
#include "proxy/log/queue.h"
#include "proxy/log/rations.h"
#include "proxy/log/writer.h"

namespace mooring::log {

// Topic is what a ration is for: lines with one message and one reason. `who` caused this one, raw.
struct Topic {
  // lives as long as the program: the name of a close reason or of an errno
  std::string_view reason;
  std::string_view who;
};

class Log final {
 public:
  // Standard error stays the caller's; tests give another descriptor.
  Log(Level level, bool json, int fd = 2);
  // A log into the same lines as `whole`, each with one field more: whose part of the process it
  // is. `whole` outlives it.
  Log(const Log& whole, Field mark);
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // failure is why nothing can be written (no thread to be had), an errno value, or 0.
  int failure() const { return writer_ ? writer_->failure() : 0; }

  bool Enabled(Level level) const { return level >= core_->level.load(std::memory_order_relaxed); }
  // SetLevel holds for the whole, with all logs into the same lines.
  void SetLevel(Level level) noexcept { core_->level.store(level, std::memory_order_relaxed); }
  void Write(Level level, Literal module, Literal message, Fields fields = {}) noexcept;
  void Debug(Literal module, Literal message, Fields fields = {}) noexcept {
    Write(Level::kDebug, module, message, fields);
  }
  void Info(Literal module, Literal message, Fields fields = {}) noexcept {
    Write(Level::kInfo, module, message, fields);
  }
  void Warn(Literal module, Literal message, Fields fields = {}) noexcept {
    Write(Level::kWarn, module, message, fields);
  }
  void Err(Literal module, Literal message, Fields fields = {}) noexcept {
    Write(Level::kError, module, message, fields);
  }

  // WriteRationed is for lines that strangers can cause. The first Rations::kLines of a window are
  // written, the others are counted; a summary at the window's end says how many, and who caused
  // most of them.
  void WriteRationed(Level level, Literal module, Literal message, Topic topic,
                     Fields fields) noexcept;

  // MoveTo has the lines go to another descriptor from now on; Complain's stay where they go.
  void MoveTo(int fd) noexcept { core_->output.MoveTo(fd); }

  // Complain writes Complaint's text: what a person at a terminal should see when the program
  // cannot go on.
  void Complain(std::string_view text, const std::vector<std::string>& more = {}) noexcept;

  // Flush waits until what is queued has been written, as long as `limit`; false if it has not.
  bool Flush(std::chrono::milliseconds limit) {
    return core_->queue.AwaitEmpty(std::chrono::steady_clock::now() + limit);
  }
  // Close writes what is queued, within a second; what comes later is dropped. Before std::_Exit;
  // otherwise the destructor does it. Only for the whole.
  void Close() noexcept {
    if (writer_) writer_->Close(Writer::kCloseTime);
  }

  struct Report {
    Counts dropped;                 // nobody read, or it could not be written
    std::vector<LeftOut> left_out;  // by rations
  };
  Report report() const { return {core_->queue.Dropped(), core_->rations.Totals()}; }

 private:
  const std::shared_ptr<Core> core_;
  const std::optional<Field> mark_;
  std::optional<Writer> writer_;  // the whole's
};

}  // namespace mooring::log
