// Durations as people write them in flags and YAML: Go's syntax, "1s", "500ms", "1m30s", "1.5h".
// Pure.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "authz/result.h"

namespace mooring::config {

// ParseDuration reads a duration of whole milliseconds, from 0 to 8760h. A number without a unit is
// an error that names the cure ("0" alone needs none); so are a sign of minus and anything finer
// than 1ms.
Result<std::chrono::milliseconds> ParseDuration(std::string_view text);

// DurationText is the shortest text that ParseDuration reads so: "1m30s", "200ms", "0".
std::string DurationText(const std::chrono::milliseconds& duration);

}  // namespace mooring::config
