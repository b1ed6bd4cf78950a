// Sizes as people write them in flags and YAML: 65536, 512KiB, 64MiB, 2GiB. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "authz/result.h"

namespace mooring::config {

// SizeRange is what makes sense for one setting, in bytes.
struct SizeRange {
  std::size_t least = std::size_t{1} << 10;
  std::size_t most = std::size_t{1} << 30;
};

// ParseSize reads a number of bytes, KiB, MiB or GiB within the range.
Result<std::size_t> ParseSize(std::string_view text, SizeRange range = {});

// SizeText is what people write for it: "64MiB".
std::string SizeText(const std::size_t& size);

}  // namespace mooring::config
