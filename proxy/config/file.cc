#include "proxy/config/file.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "proxy/net/socket.h"

namespace mooring::config {
namespace {

constexpr std::size_t kMaxPipe = 4096;
constexpr std::chrono::seconds kPipeTime{5};

}  // namespace

FileLook LookAt(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return {};
  return {static_cast<long long>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec,
          info.st_ino, info.st_size};
}

bool IsPipe(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISFIFO(info.st_mode);
}

bool IsBeingWritten(const std::string& path) {
  // The kernel gives a lease on reading where nobody writes (fcntl(2)). Whoever opens it meanwhile
  // waits until it is given back, here.
  const net::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return false;
  if (fcntl(fd.get(), F_SETLEASE, F_RDLCK) == 0) {
    (void)fcntl(fd.get(), F_SETLEASE, F_UNLCK);
    return false;
  }
  return errno == EAGAIN;
}

std::string OpenToOthers(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode) || (info.st_mode & S_IROTH) == 0)
    return {};
  return path + " can be read by every user of this machine; chmod o= " + path;
}

Result<std::string> ReadFile(const std::string& path) {
  // Non-blocking, because a FIFO at this path would hold us for ever; it is refused right after.
  const net::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info {};
  if (!fd || fstat(fd.get(), &info) != 0) return Invalid(path + ": " + std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return Invalid(path + ": not a regular file");
  if (info.st_size > static_cast<off_t>(kMaxFile)) return Invalid(path + ": larger than 1 MiB");
  // In one piece, where it will stay: it may be a key. One byte more tells a file that grows
  // meanwhile.
  std::string text(static_cast<std::size_t>(info.st_size) + 1, '\0');
  for (std::size_t have = 0;;) {
    const ssize_t got = read(fd.get(), text.data() + have, text.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Invalid(path + ": " + std::strerror(errno));
    if (got == 0) {
      text.resize(have);
      return text;
    }
    have += static_cast<std::size_t>(got);
    if (have > kMaxFile) return Invalid(path + ": larger than 1 MiB");
    if (have == text.size()) text.resize(std::min(2 * text.size(), kMaxFile + 1));
  }
}

Result<std::string> ReadPipe(const std::string& path) {
  const net::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return Invalid(path + ": " + std::strerror(errno));
  std::string text;
  text.reserve(kMaxPipe + 1);
  struct Chunk {
    ~Chunk() { explicit_bzero(bytes.data(), bytes.size()); }  // it is a token
    std::array<char, 512> bytes{};
  } chunk;
  const auto until = std::chrono::steady_clock::now() + kPipeTime;
  while (text.size() <= kMaxPipe) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    pollfd wait{.fd = fd.get(), .events = POLLIN, .revents = 0};
    if (left.count() <= 0 || poll(&wait, 1, static_cast<int>(left.count())) == 0) {
      return Invalid(path + ": whoever writes into this pipe did not end within " +
                     std::to_string(kPipeTime.count()) + " s");
    }
    const ssize_t got = read(fd.get(), chunk.bytes.data(), chunk.bytes.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) return Invalid(path + ": " + std::strerror(errno));
    if (got == 0) return text;
    text.append(chunk.bytes.data(), static_cast<std::size_t>(got));
  }
  return Invalid(path + ": larger than 4 KiB");
}

}  // namespace mooring::config
