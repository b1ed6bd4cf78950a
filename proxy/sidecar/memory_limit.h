// MemoryLimit: how much memory this process may use, and who says so: the tightest limit of its
// control groups, from its own up to the root, of version 1 (memory.limit_in_bytes) or 2
// (memory.max and memory.high); or else a part of the machine's memory, which others need, too.
// Reads files once; any thread. Source: cgroups(7), the kernel's cgroup-v1/memory and cgroup-v2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mooring::sidecar {

struct MemoryLimit {
  std::size_t bytes = 0;  // 0: unknown
  std::string source;     // for people: the file that says it, or what it was made of
};

// FindMemoryLimit looks below `root`, which is "" but for tests.
MemoryLimit FindMemoryLimit(const std::string& root = "");

// ControlGroupMounts are the folders in which it looks.
std::vector<std::string> ControlGroupMounts();

// ResidentMemory is how many bytes of this process are in memory now; absent: the kernel does not
// say.
std::optional<std::int64_t> ResidentMemory();

}  // namespace mooring::sidecar
