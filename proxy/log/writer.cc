#include "proxy/log/writer.h"

#include <climits>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "proxy/log/signals_blocked.h"

namespace mooring::log {
namespace {

constexpr std::size_t kStack = 256u * 1024;  // bytes
// An output that fails is tried again after this time even if there is nothing to write but that
// lines are missing.
constexpr std::chrono::seconds kTryAgain{10};

// Round is the writer's work and what it owes the reader.
class Round final {
 public:
  explicit Round(Core& core) : core_(core) {}

  void Run() {
    Batch batch;
    do {
      core_.queue.Take(&batch);
      missing_.Add(batch.dropped);
      WriteBatch(batch);
      try {
        SayMissing();
        SaySummaries(batch.last);
      } catch (...) {  // no memory for lines about lines
      }
    } while (!batch.last);
  }

 private:
  void WriteBatch(const Batch& batch) {
    std::string_view rest = batch.bytes;
    for (std::size_t first = 0; first < batch.lines.size();) {
      std::size_t size = 0, next = first;
      do {
        size += batch.lines[next++].size;
      } while (next < batch.lines.size() && size + batch.lines[next].size <= PIPE_BUF);
      const Output::Result result = core_.output.Write(rest.substr(0, size));
      if (result.error != 0) CountLost(batch, first, next, result);
      core_.queue.Release(size, next - first);
      rest.remove_prefix(size);
      first = next;
    }
  }

  void CountLost(const Batch& batch, std::size_t first, std::size_t next, Output::Result result) {
    Counts lost;
    std::size_t end = 0;
    for (; first < next; ++first) {
      end += batch.lines[first].size;
      if (end > result.written) lost.Add(batch.lines[first].level);
    }
    error_ = result.error;
    missing_.Add(lost);
    core_.queue.AddLost(lost);
  }

  bool Write(Level level, Literal message, std::span<const Field> fields) {
    const std::string line =
        MakeLine(core_.format, std::chrono::system_clock::now(), level, "log", message, fields);
    const Output::Result result = core_.output.Write(line);
    if (result.error != 0) error_ = result.error;
    return result.error == 0;
  }

  void SayMissing() {
    if (missing_.Total() == 0) return;
    std::vector<Field> fields{{"lines", missing_.Total()}};
    static constexpr Literal kNames[] = {"trace", "debug", "info", "warn", "error"};
    static_assert(std::size(kNames) == kLevels);
    for (std::size_t i = 0; i < kLevels; ++i) {
      if (missing_.of[i] > 0) fields.emplace_back(kNames[i], missing_.of[i]);
    }
    fields.push_back({"why", error_ == 0
                                 ? "standard error was not read in time"
                                 : std::string("standard error: ") + std::strerror(error_)});
    if (Write(Level::kWarn, "lines are missing here", fields)) {
      missing_ = {};
      error_ = 0;
    } else {
      core_.queue.WakeAt(std::chrono::steady_clock::now() + kTryAgain);
    }
  }

  void SaySummaries(bool all) {
    for (const LeftOut& one : core_.rations.Close(std::chrono::steady_clock::now(), all)) {
      std::vector<Field> fields{
          {"message", std::string(one.message)},
          {"reason", std::string(one.reason)},
          {"lines", one.lines},
          {"seconds", std::chrono::ceil<std::chrono::seconds>(one.span).count()}};
      std::string largest;
      for (const HeavyHitters::Hitter& hitter : one.largest) {
        if (!largest.empty()) largest += ", ";
        largest +=
            hitter.who + (hitter.exact ? " " : " at least ") + std::to_string(hitter.at_least);
      }
      fields.push_back({"largest", std::move(largest)});
      // What cannot be written is lost like any other line.
      if (!Write(one.level, "lines like this were left out", fields)) {
        Counts lost;
        lost.Add(one.level);
        missing_.Add(lost);
        core_.queue.AddLost(lost);
      }
    }
    if (const auto due = core_.rations.NextDue()) core_.queue.WakeAt(*due);
  }

  Core& core_;
  Counts missing_;  // not said yet
  int error_ = 0;   // why the last of them could not be written
};

void* Work(void* argument) {
  (void)pthread_setname_np(pthread_self(), "log");
  const std::unique_ptr<std::shared_ptr<Core>> core(static_cast<std::shared_ptr<Core>*>(argument));
  Round(**core).Run();
  {
    const std::lock_guard lock((*core)->mutex);
    (*core)->ended = true;
  }
  (*core)->over.notify_all();
  return nullptr;
}

int StartThread(pthread_t* thread, std::shared_ptr<Core>* core) {
  pthread_attr_t attributes;
  if (const int error = pthread_attr_init(&attributes); error != 0) return error;
  (void)pthread_attr_setstacksize(&attributes, kStack);
  const SignalsBlocked blocked;
  const int error = pthread_create(thread, &attributes, Work, core);
  pthread_attr_destroy(&attributes);
  return error;
}

}  // namespace

Writer::Writer(std::shared_ptr<Core> core) : core_(std::move(core)) {
  auto shared = std::make_unique<std::shared_ptr<Core>>(core_);
  failure_ = StartThread(&thread_, shared.get());
  if (failure_ == 0) {
    (void)shared.release();
  } else {
    core_->queue.Close();
  }
}

Writer::~Writer() { Close(kCloseTime); }

void Writer::Close(std::chrono::milliseconds limit) noexcept {
  if (std::exchange(closed_, true) || failure_ != 0) return;
  core_->queue.Close();
  std::unique_lock lock(core_->mutex);
  const bool ended = core_->over.wait_until(lock, std::chrono::steady_clock::now() + limit,
                                            [this] { return core_->ended; });
  lock.unlock();
  if (ended) {
    pthread_join(thread_, nullptr);
  } else {
    pthread_detach(thread_);
  }
}

}  // namespace mooring::log
