// Identifiers and times in the spelling of Consul's API. Any thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace mooring::dev {

std::string NewUuid();               // RFC 9562 version 4, from the kernel's random numbers
bool IsUuid(std::string_view text);  // 36 characters: hex in groups of 8, 4, 4, 4, 12

// GoDuration is Go's text of a duration: 1m30s, 1.5s, 250ms.
std::string GoDuration(std::chrono::milliseconds duration);

// ContentHash names a content: equal text, equal hash. Not for secrets.
std::string ContentHash(std::string_view text);

}  // namespace mooring::dev
