#include "proxy/log/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <ctime>

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

std::string_view TextLevel(Level level) {
  switch (level) {
    case Level::kTrace: return "[TRACE]";
    case Level::kDebug: return "[DEBUG]";
    case Level::kInfo: return "[INFO] ";
    case Level::kWarn: return "[WARN] ";
    case Level::kError: return "[ERROR]";
  }
  return "";
}

std::string_view JsonLevel(Level level) {
  switch (level) {
    case Level::kTrace: return "trace";
    case Level::kDebug: return "debug";
    case Level::kInfo: return "info";
    case Level::kWarn: return "warn";
    case Level::kError: return "error";
  }
  return "";
}

std::string Timestamp() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, ms);
}

// Appends text that may come from a stranger, so that it can neither break a line nor a JSON string.
void AppendEscaped(std::string* out, std::string_view text, bool json) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (byte < 0x20 || byte >= 0x7f) {
      *out += json ? fmt::format("\\u{:04x}", byte) : fmt::format("\\x{:02x}", byte);
    } else {
      out->push_back(c);
    }
  }
}

bool NeedsQuotes(std::string_view text) {
  if (text.empty()) return true;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7f || c == '"' || c == '=' || c == '\\') return true;
  }
  return false;
}

std::string TextLine(Level level, std::string_view module, std::string_view message, Fields fields) {
  std::string line = fmt::format("{} {} {}: {}", Timestamp(), TextLevel(level), module, message);
  std::string_view separator = ": ";
  for (const Field& field : fields) {
    line += separator;
    separator = " ";
    line += field.key;
    line += '=';
    if (NeedsQuotes(field.value)) {
      line += '"';
      AppendEscaped(&line, field.value, false);
      line += '"';
    } else {
      line += field.value;
    }
  }
  return line;
}

std::string JsonLine(Level level, std::string_view module, std::string_view message, Fields fields) {
  std::string line = fmt::format(R"({{"@level":"{}","@module":"{}","@timestamp":"{}","@message":")",
                                 JsonLevel(level), module, Timestamp());
  AppendEscaped(&line, message, true);
  line += '"';
  for (const Field& field : fields) {
    fmt::format_to(std::back_inserter(line), R"(,"{}":")", field.key);
    AppendEscaped(&line, field.value, true);
    line += '"';
  }
  line += '}';
  return line;
}

}  // namespace

Log::Log(Level level, bool json)
    : logger_(std::make_shared<spdlog::logger>(
          "mooring", std::make_shared<spdlog::sinks::stderr_sink_mt>())),
      json_(json) {
  logger_->set_pattern("%v");
  logger_->set_level(ToSpdlog(level));
  logger_->flush_on(spdlog::level::trace);
}

Log::~Log() = default;

bool Log::Enabled(Level level) const { return logger_->should_log(ToSpdlog(level)); }

void Log::Write(Level level, std::string_view module, std::string_view message, Fields fields) {
  if (!Enabled(level)) return;
  const std::string line =
      json_ ? JsonLine(level, module, message, fields) : TextLine(level, module, message, fields);
  logger_->log(ToSpdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

void Log::Debug(std::string_view module, std::string_view message, Fields fields) {
  Write(Level::kDebug, module, message, fields);
}
void Log::Info(std::string_view module, std::string_view message, Fields fields) {
  Write(Level::kInfo, module, message, fields);
}
void Log::Warn(std::string_view module, std::string_view message, Fields fields) {
  Write(Level::kWarn, module, message, fields);
}
void Log::Err(std::string_view module, std::string_view message, Fields fields) {
  Write(Level::kError, module, message, fields);
}

bool Budget::Take(std::chrono::steady_clock::time_point now, unsigned long* suppressed) {
  if (now - window_start_ >= kWindow) {
    window_start_ = now;
    used_ = 0;
  }
  if (used_ >= kLines) {
    ++suppressed_;
    return false;
  }
  ++used_;
  *suppressed = std::exchange(suppressed_, 0);
  return true;
}

}  // namespace mooring::log
