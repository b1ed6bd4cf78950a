// ReadFile: small files that people or their tools write: YAML, PEM, tokens.
#pragma once

#include <cstddef>
#include <string>

#include "authz/result.h"

namespace mooring::config {

inline constexpr std::size_t kMaxFile = 1u << 20;  // bytes; larger is none of ours

// FileLook tells a changed file from an unchanged one without reading it. A default one equals no file.
struct FileLook {
  long long mtime_ns = 0;
  unsigned long long inode = 0;
  long long size = -1;
  bool operator==(const FileLook&) const = default;
};
FileLook LookAt(const std::string& path);

// ReadFile reads a whole regular file. The error names it and says why.
Result<std::string> ReadFile(const std::string& path);

}  // namespace mooring::config
