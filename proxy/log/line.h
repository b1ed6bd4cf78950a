// Line: what one log line looks like, as text and as JSON. Pure; any thread.
//
// The one place where facts become text: fields may hold anything, a line never holds a control
// character, is valid UTF-8, and has kMaxLine bytes at most.
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/log/literal.h"

namespace mooring::log {

enum class Level { kTrace, kDebug, kInfo, kWarn, kError };
inline constexpr std::size_t kLevels = static_cast<std::size_t>(Level::kError) + 1;
// LevelName is the level as JSON lines and /status have it: trace, debug, info, warn, error.
const char* LevelName(Level level);

enum class Format { kText, kJson };

struct Field {
  Field(Literal field, std::string raw) : key(field), value(std::move(raw)) {}
  template <std::integral Number>
  Field(Literal field, Number of) : key(field), value(std::to_string(of)), number(true) {}

  Literal key;
  std::string value;    // raw
  bool number = false;  // in JSON it stands without quotes
};
using Fields = std::initializer_list<Field>;

// bytes of a value as written, without the mark of a cut
inline constexpr std::size_t kMaxField = 1024;
inline constexpr std::size_t kMaxLine = 8192;  // bytes, newline included

// MakeLine ends with a newline. Fields beyond kMaxLine are left out, and a field `cut` says how
// many.
std::string MakeLine(Format format, std::chrono::system_clock::time_point now, Level level,
                     Literal module, Literal message, std::span<const Field> fields);

// Complaint is why the program cannot start or go on: as text "==> text", and each of `more` in a
// line of its own below; as JSON one line of the log.
std::string Complaint(Format format, std::string_view text,
                      const std::vector<std::string>& more = {});

}  // namespace mooring::log
