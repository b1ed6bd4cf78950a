#include "proxy/log/line.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <string_view>

#include "proxy/log/escape.h"

namespace mooring::log {
namespace {

// For the mark of a cut value, the field `cut` and the end of the line.
constexpr std::size_t kReserve = 128;

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

void AppendTimestamp(std::string* out, std::chrono::system_clock::time_point now) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  std::array<char, 80> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900, utc.tm_mon + 1,
                utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, static_cast<int>(ms));
  *out += text.data();
}

bool NeedsQuotes(std::string_view text) {
  return text.empty() || std::any_of(text.begin(), text.end(), [](char c) {
           return c <= ' ' || c > '~' || c == '"' || c == '=' || c == '\\';
         });
}

void AppendHead(std::string* line, Format format, std::chrono::system_clock::time_point now, Level level,
                Literal module, Literal message) {
  if (format == Format::kJson) {
    *line += R"({"@level":")";
    *line += LevelName(level);
    *line += R"(","@module":")";
    AppendJson(line, module.view(), kMaxField);
    *line += R"(","@timestamp":")";
    AppendTimestamp(line, now);
    *line += R"(","@message":")";
    AppendJson(line, message.view(), kMaxField);
    *line += '"';
    return;
  }
  AppendTimestamp(line, now);
  *line += ' ';
  *line += TextLevel(level);
  *line += ' ';
  AppendPlain(line, module.view(), kMaxField);
  *line += ": ";
  AppendPlain(line, message.view(), kMaxField);
}

void AppendField(std::string* line, Format format, bool first, std::string_view key, std::string_view value,
                 std::size_t limit) {
  if (format == Format::kJson) {
    *line += ",\"";
    *line += key;
    *line += "\":\"";
    AppendJson(line, value, limit);
    *line += '"';
    return;
  }
  *line += first ? ": " : " ";
  *line += key;
  *line += '=';
  if (value.size() <= limit && !NeedsQuotes(value)) {
    *line += value;
    return;
  }
  *line += '"';
  AppendQuotable(line, value, limit);
  *line += '"';
}

}  // namespace

const char* LevelName(Level level) {
  switch (level) {
    case Level::kTrace: return "trace";
    case Level::kDebug: return "debug";
    case Level::kInfo: return "info";
    case Level::kWarn: return "warn";
    case Level::kError: return "error";
  }
  return "";
}

std::string MakeLine(Format format, std::chrono::system_clock::time_point now, Level level, Literal module,
                     Literal message, std::span<const Field> fields) {
  std::string line;
  line.reserve(256);
  AppendHead(&line, format, now, level, module, message);
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const std::string_view key = fields[i].key.view();
    const std::size_t used = line.size() + key.size() + 8 + kReserve;
    const std::size_t room = used < kMaxLine ? kMaxLine - used : 0;
    if (room < std::min(fields[i].value.size(), kMaxField)) {
      AppendField(&line, format, i == 0, "cut", std::to_string(fields.size() - i), kMaxField);
      break;
    }
    AppendField(&line, format, i == 0, key, fields[i].value, std::min(room, kMaxField));
  }
  if (format == Format::kJson) line += '}';
  line += '\n';
  return line;
}

}  // namespace mooring::log
