#include "tests/unit/counted_calls.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace mooring::test {
namespace {
thread_local Calls* counted = nullptr;
std::atomic<int> no_watches = 0;
std::atomic<int> spared_watches = 0;
}  // namespace

NoWatches::NoWatches(int error, int spared) {
  spared_watches = spared;
  no_watches = error;
}

NoWatches::~NoWatches() { no_watches = 0; }

CountedCalls::CountedCalls(Calls& calls) { counted = &calls; }

CountedCalls::~CountedCalls() { counted = nullptr; }

}  // namespace mooring::test

// As glibc's own, but for the cancellation of threads, which nobody here uses. `syscall` sets
// errno.
extern "C" {

ssize_t recv(int fd, void* into, size_t size, int flags) {
  if (mooring::test::counted != nullptr) ++mooring::test::counted->recv;
  return syscall(SYS_recvfrom, fd, into, size, flags, nullptr, nullptr);
}

ssize_t send(int fd, const void* bytes, size_t size, int flags) {
  if (mooring::test::counted != nullptr) {
    ++mooring::test::counted->send;
    if ((flags & MSG_MORE) != 0) ++mooring::test::counted->held_back;
  }
  return syscall(SYS_sendto, fd, bytes, size, flags, nullptr, 0);
}

int epoll_ctl(int set, int operation, int fd, epoll_event* event) noexcept {
  if (mooring::test::counted != nullptr) ++mooring::test::counted->epoll_ctl;
  if (const int error = mooring::test::no_watches;
      error != 0 && operation == EPOLL_CTL_ADD && --mooring::test::spared_watches < 0) {
    // What the kernel knows already it says first, as it does without watches.
    if (syscall(SYS_epoll_ctl, set, operation, fd, event) == 0) {
      syscall(SYS_epoll_ctl, set, EPOLL_CTL_DEL, fd, nullptr);
      errno = error;
    }
    return -1;
  }
  return static_cast<int>(syscall(SYS_epoll_ctl, set, operation, fd, event));
}
}
