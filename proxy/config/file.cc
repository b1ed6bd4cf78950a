#include "proxy/config/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "proxy/net/socket.h"

namespace mooring::config {

FileLook LookAt(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return {};
  return {static_cast<long long>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec,
          info.st_ino, info.st_size};
}

Result<std::string> ReadFile(const std::string& path) {
  // Non-blocking, because a FIFO at this path would hold us for ever; it is refused right after.
  const net::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info {};
  if (!fd || fstat(fd.get(), &info) != 0) return Invalid(path + ": " + std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return Invalid(path + ": not a regular file");
  std::string text;
  char chunk[8192];
  for (;;) {
    const ssize_t got = read(fd.get(), chunk, sizeof chunk);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Invalid(path + ": " + std::strerror(errno));
    if (got == 0) return text;
    text.append(chunk, static_cast<std::size_t>(got));
    if (text.size() > kMaxFile) return Invalid(path + ": larger than 1 MiB");
  }
}

}  // namespace mooring::config
