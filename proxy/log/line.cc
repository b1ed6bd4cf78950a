#include "proxy/log/line.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "authz/rfc3339.h"
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

void AppendHead(std::string* line, Format format, std::chrono::system_clock::time_point now,
                Level level, Literal module, Literal message) {
  if (format == Format::kJson) {
    *line += R"({"@level":")";
    *line += LevelName(level);
    *line += R"(","@module":")";
    AppendJson(line, module.view(), kMaxField);
    *line += R"(","@timestamp":")";
    *line += authz::Rfc3339(now, 3);
    *line += R"(","@message":")";
    AppendJson(line, message.view(), kMaxField);
    *line += '"';
    return;
  }
  *line += authz::Rfc3339(now, 3);
  *line += ' ';
  *line += TextLevel(level);
  *line += ' ';
  AppendPlain(line, module.view(), kMaxField);
  *line += ": ";
  AppendPlain(line, message.view(), kMaxField);
}

void AppendField(std::string* line, Format format, bool first, const Field& field,
                 std::size_t limit) {
  const std::string_view key = field.key.view();
  const std::string_view value = field.value;
  if (format == Format::kJson) {
    *line += ",\"";
    *line += key;
    *line += "\":";
    if (field.number) {
      *line += value;
      return;
    }
    *line += '"';
    AppendJson(line, value, limit);
    *line += '"';
    return;
  }
  *line += first ? ": " : " ";
  *line += key;
  *line += '=';
  AppendValue(line, value, limit);
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

std::string MakeLine(Format format, std::chrono::system_clock::time_point now, Level level,
                     Literal module, Literal message, std::span<const Field> fields) {
  std::string line;
  line.reserve(256);
  AppendHead(&line, format, now, level, module, message);
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const std::string_view key = fields[i].key.view();
    const std::size_t used = line.size() + key.size() + 8 + kReserve;
    const std::size_t room = used < kMaxLine ? kMaxLine - used : 0;
    if (room < std::min(fields[i].value.size(), kMaxField)) {
      AppendField(&line, format, i == 0, Field("cut", fields.size() - i), kMaxField);
      break;
    }
    AppendField(&line, format, i == 0, fields[i], std::min(room, kMaxField));
  }
  if (format == Format::kJson) line += '}';
  line += '\n';
  return line;
}

std::string Complaint(Format format, std::string_view text, const std::vector<std::string>& more) {
  if (format == Format::kJson) {
    std::vector<Field> fields{{"error", std::string(text)}};
    std::string details;
    for (const std::string& line : more) details += (details.empty() ? "" : "; ") + line;
    if (!more.empty()) fields.push_back(Field("details", std::move(details)));
    return MakeLine(format, std::chrono::system_clock::now(), Level::kError, "mooring",
                    "cannot go on", fields);
  }
  std::string lines = "==> " + Plain(text) + "\n";
  for (const std::string& line : more) lines += "    " + Plain(line) + "\n";
  return lines;
}

}  // namespace mooring::log
