#include "proxy/log/output.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <ctime>
#include <utility>

namespace mooring::log {
namespace {

// Waits for room. A descriptor that says it has room and then has none must not be asked in a loop.
void AwaitRoom(int fd, bool again) {
  if (again) {
    const timespec pause{0, 10'000'000};
    nanosleep(&pause, nullptr);
  }
  pollfd wanted{fd, POLLOUT, 0};
  (void)poll(&wanted, 1, -1);
}

int MillisecondsUntil(std::chrono::steady_clock::time_point when) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(when - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::chrono::milliseconds::rep>(left.count(), 0, INT_MAX));
}

}  // namespace

Output::Output(int fd) : fd_(fcntl(fd, F_DUPFD_CLOEXEC, 3)) {}

Output::~Output() {
  if (fd_ >= 0) close(fd_);
}

void Output::MoveTo(int fd) noexcept {
  // In one step: the writer may be writing.
  if (fd_ >= 0) (void)dup3(fd, fd_, O_CLOEXEC);
}

int Output::Put(std::string_view bytes, std::size_t* written) {
  bool waited = false;
  while (!bytes.empty()) {
    const ssize_t count = write(fd_, bytes.data(), bytes.size());
    if (count > 0) {
      *written += static_cast<std::size_t>(count);
      bytes.remove_prefix(static_cast<std::size_t>(count));
      waited = false;
      continue;
    }
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) {
      AwaitRoom(fd_, std::exchange(waited, true));
      continue;
    }
    return count < 0 ? errno : EIO;
  }
  return 0;
}

Output::Result Output::Write(std::string_view bytes) {
  Result result;
  if (torn_) {
    std::size_t ended = 0;
    result.error = Put("\n", &ended);
    if (result.error != 0) return result;
    torn_ = false;
  }
  result.error = Put(bytes, &result.written);
  if (result.written > 0) torn_ = bytes[result.written - 1] != '\n';
  return result;
}

bool WriteWithin(int fd, std::string_view bytes, std::chrono::milliseconds limit) {
  sigset_t quiet, before;
  sigemptyset(&quiet);
  sigaddset(&quiet, SIGPIPE);
  sigaddset(&quiet, SIGTTOU);
  pthread_sigmask(SIG_BLOCK, &quiet, &before);
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!bytes.empty()) {
    // A pipe, a terminal or a socket that has room takes PIPE_BUF bytes without blocking.
    pollfd wanted{fd, POLLOUT, 0};
    const int ready = poll(&wanted, 1, MillisecondsUntil(deadline));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) break;
    const ssize_t count = write(fd, bytes.data(), std::min<std::size_t>(bytes.size(), PIPE_BUF));
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) {
      if (std::chrono::steady_clock::now() >= deadline) break;
      continue;
    }
    if (count <= 0) break;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  // A SIGPIPE of ours is taken away, not left for the moment when the mask is gone.
  sigset_t ours;
  sigemptyset(&ours);
  sigaddset(&ours, SIGPIPE);
  const timespec no_time{0, 0};
  if (sigismember(&before, SIGPIPE) == 0) (void)sigtimedwait(&ours, nullptr, &no_time);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return bytes.empty();
}

}  // namespace mooring::log
