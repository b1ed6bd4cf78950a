// Log: one line an event, as text or as JSON, on standard error. Any thread.
//
// A line is module, message and fields; fields are the facts, so that a machine can read them in both
// forms. Never pass a key or a token. spdlog does the writing.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace spdlog {
class logger;
}

namespace mooring::log {

enum class Level { kTrace, kDebug, kInfo, kWarn, kError };

struct Field {
  std::string_view key;
  std::string value;
};
using Fields = std::initializer_list<Field>;

class Log final {
 public:
  Log(Level level, bool json);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  bool Enabled(Level level) const;
  void Write(Level level, std::string_view module, std::string_view message, Fields fields = {});

  void Debug(std::string_view module, std::string_view message, Fields fields = {});
  void Info(std::string_view module, std::string_view message, Fields fields = {});
  void Warn(std::string_view module, std::string_view message, Fields fields = {});
  void Err(std::string_view module, std::string_view message, Fields fields = {});

 private:
  std::shared_ptr<spdlog::logger> logger_;
  const bool json_;
};

// Budget keeps lines that a stranger can cause from filling a disk: kLines in each kWindow, the rest is
// counted, and the next line that passes says how many were left out. One thread.
class Budget final {
 public:
  static constexpr int kLines = 10;
  static constexpr std::chrono::seconds kWindow{10};

  // Take is true if a line may be written now; *suppressed is how many were not since the last one.
  bool Take(std::chrono::steady_clock::time_point now, unsigned long* suppressed);

 private:
  std::chrono::steady_clock::time_point window_start_{};
  int used_ = 0;
  unsigned long suppressed_ = 0;
};

}  // namespace mooring::log
