// ReadFile: small files that people or their tools write: YAML, PEM, tokens.
#pragma once

#include <cstddef>
#include <string>

#include "authz/result.h"

namespace mooring::config {

inline constexpr std::size_t kMaxFile = 1u << 20;  // bytes; larger is none of ours

// FileLook tells a changed file from an unchanged one without reading it. A default one equals no
// file.
struct FileLook {
  long long mtime_ns = 0;
  unsigned long long inode = 0;
  long long size = -1;
  bool operator==(const FileLook&) const = default;
};
FileLook LookAt(const std::string& path);

// IsBeingWritten: somebody has it open for writing. Only who owns it, or may take leases, can know;
// false for all others.
bool IsBeingWritten(const std::string& path);

// OpenToOthers is a warning where every user of the machine can read the file; empty if not.
std::string OpenToOthers(const std::string& path);

// ReadFile reads a whole regular file. The error names it and says why.
Result<std::string> ReadFile(const std::string& path);

// IsPipe: it can be read once, as the shell's <(...). ReadPipe does so; it blocks until its writer
// ends, 5 s at most.
bool IsPipe(const std::string& path);
Result<std::string> ReadPipe(const std::string& path);

}  // namespace mooring::config
