#include "proxy/sidecar/memory_limit.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

namespace mooring::sidecar {
namespace {

// A limit above this is none: version 1 writes the largest number of pages where there is no limit.
constexpr std::size_t kNoLimit = std::size_t{1} << 60;
// Of the machine's memory, where nobody has set a limit: the service and others live there, too.
constexpr std::size_t kMachinePart = 4;

std::string Read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Number is what a limit's file says; absent: no such file, or no limit ("max").
std::optional<std::size_t> Number(const std::string& path) {
  const std::string text = Read(path);
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || number >= kNoLimit) return std::nullopt;
  return number;
}

void Take(MemoryLimit& tightest, const std::string& path, const std::string& shown) {
  const std::optional<std::size_t> number = Number(path);
  if (!number || (tightest.bytes != 0 && *number >= tightest.bytes)) return;
  tightest = {*number, shown};
}

struct Mount {
  std::string group_root;  // which group the mount point shows
  std::string point;
  bool v2 = false;
};

// The mounts of control groups that know memory (proc_pid_mountinfo(5)).
std::vector<Mount> Mounts(const std::string& root) {
  std::vector<Mount> found;
  std::istringstream lines(Read(root + "/proc/self/mountinfo"));
  for (std::string line; std::getline(lines, line);) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream left(line.substr(0, dash));
    std::istringstream right(line.substr(dash + 3));
    std::string skip, group_root, point, type, device, options;
    left >> skip >> skip >> skip >> group_root >> point;
    right >> type >> device >> options;
    const bool memory = ("," + options + ",").find(",memory,") != std::string::npos;
    if (type == "cgroup2" || (type == "cgroup" && memory))
      found.push_back({group_root, point, type == "cgroup2"});
  }
  return found;
}

// OwnGroup is the path of our group in one hierarchy (proc_pid_cgroup(5)): that of version 2, or
// that of version 1 with memory.
std::optional<std::string> OwnGroup(const std::string& root, bool v2) {
  std::istringstream lines(Read(root + "/proc/self/cgroup"));
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool memory = ("," + controllers + ",").find(",memory,") != std::string::npos;
    if (v2 ? line.starts_with("0::") : memory) return line.substr(second + 1);
  }
  return std::nullopt;
}

// Inside is the group's path below the mount point; a container often sees its own group at the
// top.
std::string Inside(const Mount& mount, const std::string& group) {
  if (mount.group_root == "/") return group == "/" ? "" : group;
  if (group == mount.group_root) return "";
  if (group.starts_with(mount.group_root + "/")) return group.substr(mount.group_root.size());
  return group.starts_with("/..") || group == "/" ? "" : group;
}

}  // namespace

std::vector<std::string> ControlGroupMounts() {
  std::vector<std::string> points;
  for (Mount& mount : Mounts("")) points.push_back(std::move(mount.point));
  return points;
}

MemoryLimit FindMemoryLimit(const std::string& root) {
  MemoryLimit tightest;
  for (const Mount& mount : Mounts(root)) {
    const std::optional<std::string> group = OwnGroup(root, mount.v2);
    if (!group) continue;
    for (std::string path = Inside(mount, *group);; path.resize(path.rfind('/'))) {
      const std::string folder = mount.point + path;
      if (mount.v2) {
        Take(tightest, root + folder + "/memory.max", folder + "/memory.max");
        Take(tightest, root + folder + "/memory.high", folder + "/memory.high");
      } else {
        Take(tightest, root + folder + "/memory.limit_in_bytes", folder + "/memory.limit_in_bytes");
      }
      if (path.find('/') == std::string::npos) break;
    }
  }
  std::size_t machine = 0;
  std::istringstream lines(Read(root + "/proc/meminfo"));
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("MemTotal:")) continue;
    std::istringstream words(line.substr(9));
    words >> machine;
    machine *= 1024;
  }
  // A group's limit beyond the machine's memory limits nothing.
  if (tightest.bytes != 0 && (machine == 0 || tightest.bytes < machine)) return tightest;
  return {machine / kMachinePart, "a quarter of the machine's memory"};
}

std::optional<std::int64_t> ResidentMemory() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t size = 0;
  std::int64_t resident = 0;
  if (!(statm >> size >> resident)) return std::nullopt;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace mooring::sidecar
