#include "proxy/log/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/sink.h>

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "proxy/log/escape.h"

namespace mooring::log {
namespace {

spdlog::level::level_enum ToSpdlog(Level level) {
  switch (level) {
    case Level::kTrace: return spdlog::level::trace;
    case Level::kDebug: return spdlog::level::debug;
    case Level::kInfo: return spdlog::level::info;
    case Level::kWarn: return spdlog::level::warn;
    case Level::kError: return spdlog::level::err;
  }
  return spdlog::level::info;
}

Level FromSpdlog(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace: return Level::kTrace;
    case spdlog::level::debug: return Level::kDebug;
    case spdlog::level::info: return Level::kInfo;
    case spdlog::level::warn: return Level::kWarn;
    default: return Level::kError;
  }
}

// QueueSink is where spdlog's way of a line ends: finished lines, into the queue.
class QueueSink final : public spdlog::sinks::sink {
 public:
  explicit QueueSink(Queue& queue) : queue_(queue) {}
  void log(const spdlog::details::log_msg& message) override {
    queue_.Push(FromSpdlog(message.level), {message.payload.data(), message.payload.size()});
  }
  void flush() override {}
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

 private:
  Queue& queue_;
};

// Front is the Core with spdlog's logger before the queue. spdlog is named in this file alone.
struct Front final : Core {
  Front(int fd, Format line_format, Level least)
      : Core(fd, line_format, least), logger("mooring", std::make_shared<QueueSink>(queue)) {
    logger.set_level(spdlog::level::trace);  // Log::Enabled has decided
    // By itself it would print what goes wrong to standard error, and wait for the reader.
    logger.set_error_handler([](const std::string&) {});
  }

  spdlog::logger logger;
};

}  // namespace

Log::Log(Level level, bool json, int fd)
    : core_(std::make_shared<Front>(fd, json ? Format::kJson : Format::kText, level)) {
  writer_.emplace(core_);
}

Log::Log(const Log& whole, Field mark) : core_(whole.core_), mark_(std::move(mark)) {}

void Log::Write(Level level, Literal module, Literal message, Fields fields) noexcept {
  if (!Enabled(level)) return;
  try {
    const auto now = std::chrono::system_clock::now();
    std::vector<Field> marked;
    if (mark_) {
      marked.push_back(*mark_);
      marked.insert(marked.end(), fields.begin(), fields.end());
    }
    const std::string line =
        MakeLine(core_->format, now, level, module, message,
                 mark_ ? std::span<const Field>(marked)
                       : std::span<const Field>(fields.begin(), fields.size()));
    static_cast<Front&>(*core_).logger.log(ToSpdlog(level),
                                           spdlog::string_view_t(line.data(), line.size()));
  } catch (...) {  // no memory for the line
    core_->queue.Drop(level);
  }
}

void Log::WriteRationed(Level level, Literal module, Literal message, Topic topic,
                        Fields fields) noexcept {
  if (!Enabled(level)) return;
  const Rations::Taken taken = core_->rations.Take(std::chrono::steady_clock::now(), level,
                                                   message.view(), topic.reason, topic.who);
  if (taken.due) core_->queue.WakeAt(*taken.due);
  if (taken.write) Write(level, module, message, fields);
}

void Log::Complain(std::string_view text, const std::vector<std::string>& more) noexcept {
  try {
    core_->queue.Push(Level::kError, Complaint(core_->format, text, more));
  } catch (...) {
    core_->queue.Drop(Level::kError);
  }
}

}  // namespace mooring::log
