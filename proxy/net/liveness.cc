#include "proxy/net/liveness.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <utility>

#include "proxy/net/socket.h"

namespace mooring::net {
namespace {

// Window probes that nobody answers in a row, before their sender is taken for dead.
constexpr unsigned kDeadProbes = 3;

void SetUserTimeout(int fd, milliseconds timeout) {
  const auto value = static_cast<unsigned>(timeout.count());
  (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, sizeof value);
}

}  // namespace

bool Liveness::Check(int fd, MonotonicTime now) {
  if (!std::exchange(sent_, false) && !waiting_) return false;
  if (Unsent(fd) == 0) {
    waiting_ = false;
    if (lifted_) SetUserTimeout(fd, kUserTimeout);
    lifted_ = false;
    return false;
  }
  if (!waiting_) {  // may be a moment's snapshot of a busy leg
    waiting_ = true;
    waiting_since_ = now;
    return false;
  }
  if (!lifted_) {
    lifted_ = true;
    SetUserTimeout(fd, milliseconds(0));
  }
  tcp_info info{};
  socklen_t length = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return false;  // a unix socket
  const bool silent = now - waiting_since_ >= kUserTimeout &&
                      milliseconds(info.tcpi_last_ack_recv) >= milliseconds(kUserTimeout);
  return silent && (info.tcpi_unacked > 0 || info.tcpi_probes >= kDeadProbes);
}

}  // namespace mooring::net
