// Headers and sizes: what every HTTP message has, whoever sends it.
#pragma once

#include <cstddef>
#include <map>
#include <string>

namespace mooring::http {

// Headers with lower-case names; the last of a repeated header counts.
using Headers = std::map<std::string, std::string>;

// bytes of one message's body, unless its reader says less
inline constexpr std::size_t kMaxBody = std::size_t{64} << 20;
inline constexpr std::size_t kMaxHeader = std::size_t{64} << 10;

}  // namespace mooring::http
