// Sizes as people write them in flags and YAML: 65536, 512KiB, 64MiB. Pure.
#pragma once

#include <cstddef>
#include <string_view>

#include "authz/result.h"

namespace mooring::config {

// ParseSize reads a number of bytes, KiB or MiB, from 1 KiB to 1024 MiB.
Result<std::size_t> ParseSize(std::string_view text);

}  // namespace mooring::config
