// Line: what one log line looks like, as text and as JSON. Pure; any thread.
//
// The one place where facts become text: fields may hold anything, a line never holds a control
// character, is valid UTF-8, and has kMaxLine bytes at most.
#pragma once

#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>

#include "proxy/log/literal.h"

namespace mooring::log {

enum class Level { kTrace, kDebug, kInfo, kWarn, kError };
inline constexpr std::size_t kLevels = static_cast<std::size_t>(Level::kError) + 1;
// LevelName is the level as JSON lines and /status have it: trace, debug, info, warn, error.
const char* LevelName(Level level);

enum class Format { kText, kJson };

struct Field {
  Literal key;
  std::string value;  // raw
};
using Fields = std::initializer_list<Field>;

// bytes of a value as written, without the mark of a cut
inline constexpr std::size_t kMaxField = 1024;
inline constexpr std::size_t kMaxLine = 8192;  // bytes, newline included

// MakeLine ends with a newline. Fields beyond kMaxLine are left out, and a field `cut` says how
// many.
std::string MakeLine(Format format, std::chrono::system_clock::time_point now, Level level,
                     Literal module, Literal message, std::span<const Field> fields);

}  // namespace mooring::log
