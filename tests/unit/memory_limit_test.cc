// The memory that this process may use, read from the files of control groups below a root of the
// test's own.
#include "proxy/sidecar/memory_limit.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "tests/unit/state_fixture.h"

namespace mooring::sidecar {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
const std::string kV1Mounts =
    "30 25 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
    "31 25 0:27 / /sys/fs/cgroup/memory rw,relatime shared:7 - cgroup cgroup rw,memory\n"
    "40 25 0:36 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
const std::string kV2Mounts =
    "29 23 0:25 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
const std::string kMachine = "MemTotal:       16777216 kB\nMemFree:        1 kB\n";

struct Root {
  Root(const std::string& mounts, const std::string& groups) {
    Put("/proc/self/mountinfo", mounts);
    Put("/proc/self/cgroup", groups);
    Put("/proc/meminfo", kMachine);
  }
  Root& Put(const std::string& path, const std::string& content) {
    const std::string full = folder.path() + path;
    std::filesystem::create_directories(std::filesystem::path(full).parent_path());
    test::WriteFile(full, content);
    return *this;
  }
  MemoryLimit Find() const { return FindMemoryLimit(folder.path()); }

  test::TempDir folder;
};

TEST_CASE("memory limit: version 2, the tightest of the groups up to the root") {
  Root root(kV2Mounts, "0::/system.slice/mooring.service\n");
  root.Put("/sys/fs/cgroup/system.slice/mooring.service/memory.max", "max\n");
  root.Put("/sys/fs/cgroup/system.slice/mooring.service/memory.high", "max\n");
  root.Put("/sys/fs/cgroup/system.slice/memory.max", "134217728\n");
  CHECK(root.Find().bytes == 128 * kMiB);
  CHECK(root.Find().source == "/sys/fs/cgroup/system.slice/memory.max");
  root.Put("/sys/fs/cgroup/system.slice/mooring.service/memory.max", "67108864\n");
  CHECK(root.Find().bytes == 64 * kMiB);
  root.Put("/sys/fs/cgroup/system.slice/mooring.service/memory.high", "50331648\n");
  CHECK(root.Find().bytes == 48 * kMiB);
  CHECK(root.Find().source == "/sys/fs/cgroup/system.slice/mooring.service/memory.high");
}

TEST_CASE("memory limit: version 1, whose largest number means none") {
  Root root(kV1Mounts, "5:cpu:/\n4:memory:/process/one\n0::/\n");
  root.Put("/sys/fs/cgroup/memory/process/one/memory.limit_in_bytes", "67108864\n");
  root.Put("/sys/fs/cgroup/memory/process/memory.limit_in_bytes", "9223372036854771712\n");
  root.Put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  CHECK(root.Find().bytes == 64 * kMiB);
  CHECK(root.Find().source == "/sys/fs/cgroup/memory/process/one/memory.limit_in_bytes");
  root.Put("/sys/fs/cgroup/memory/process/one/memory.limit_in_bytes", "9223372036854771712\n");
  CHECK(root.Find().bytes == 4096 * kMiB);
}

TEST_CASE("memory limit: a container sees its own group at the mount point") {
  Root docker("31 25 0:27 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
              "4:memory:/docker/abc\n");
  docker.Put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n");
  CHECK(docker.Find().bytes == 64 * kMiB);
  Root own_namespace(kV2Mounts, "0::/\n");
  own_namespace.Put("/sys/fs/cgroup/memory.max", "67108864\n");
  CHECK(own_namespace.Find().bytes == 64 * kMiB);
}

TEST_CASE("memory limit: without one, a quarter of the machine's memory") {
  const Root none("", "");
  CHECK(none.Find().bytes == 4096 * kMiB);
  CHECK(none.Find().source == "a quarter of the machine's memory");
  Root beyond(kV2Mounts, "0::/a\n");
  beyond.Put("/sys/fs/cgroup/a/memory.max", "34359738368\n");  // more than there is
  CHECK(beyond.Find().bytes == 4096 * kMiB);
}

TEST_CASE("memory limit: files of other shapes are no reason to fail") {
  Root odd("garbage\n\n1 2 3 - cgroup2\n", "nothing\n0::\n0::weird\n");
  CHECK(odd.Find().bytes == 4096 * kMiB);
  Root text(kV2Mounts, "0::/a/b\n");
  text.Put("/sys/fs/cgroup/a/b/memory.max", "lots\n");
  text.Put("/proc/meminfo", "");
  CHECK(text.Find().bytes == 0);
}

}  // namespace
}  // namespace mooring::sidecar
