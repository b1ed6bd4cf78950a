#include "tests/unit/counted_calls.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace mooring::test {
namespace {
thread_local Calls* counted = nullptr;
}  // namespace

CountedCalls::CountedCalls(Calls& calls) { counted = &calls; }

CountedCalls::~CountedCalls() { counted = nullptr; }

}  // namespace mooring::test

// As glibc's own, but for the cancellation of threads, which nobody here uses. `syscall` sets errno.
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
  return static_cast<int>(syscall(SYS_epoll_ctl, set, operation, fd, event));
}
}
