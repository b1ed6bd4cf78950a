#include "proxy/net/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "proxy/net/port_holder.h"

namespace mooring::net {
namespace {

void SetInt(int fd, int level, int name, int value) {
  // Cannot fail on a live TCP socket with these constants; if a kernel lacks one, the leg works
  // without.
  (void)setsockopt(fd, level, name, &value, sizeof value);
}

std::string Reason(int error) { return std::strerror(error); }

Error CannotListen(const Address& address, const std::string& why) {
  return {ErrorCode::kUnavailable, "cannot listen on " + address.Text() + ": " + why};
}

// ClearStaleSocket makes room at a unix path: nothing there, or a socket file that nobody serves.
Status ClearStaleSocket(const Address& address, const SocketAddress& where) {
  struct stat info {};
  if (lstat(address.path.c_str(), &info) != 0) {
    if (errno == ENOENT) return Ok();
    return CannotListen(address, Reason(errno));
  }
  if (!S_ISSOCK(info.st_mode)) {
    return CannotListen(
        address, "something that is not a socket is at this path; remove it or choose another");
  }
  const UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return CannotListen(address, Reason(errno));
  if (connect(probe.get(), where.raw(), where.length()) == 0 || errno == EAGAIN) {
    const auto peer = PeerOf(probe.get());
    return CannotListen(address, SocketHolder(peer ? peer->pid : 0));
  }
  if (errno != ECONNREFUSED) return CannotListen(address, Reason(errno));
  if (unlink(address.path.c_str()) != 0) return CannotListen(address, Reason(errno));
  return Ok();
}

}  // namespace

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  if (this != &other) {
    Reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void UniqueFd::Reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

Result<SocketAddress> SocketAddress::FromLiteral(const Address& address) {
  SocketAddress out;
  if (address.kind == Address::Kind::kUnix) {
    sockaddr_un un{};
    un.sun_family = AF_UNIX;
    if (address.path.size() >= sizeof un.sun_path)
      return Invalid(address.Text() + ": the path is too long");
    std::memcpy(un.sun_path, address.path.c_str(), address.path.size() + 1);
    std::memcpy(&out.storage_, &un, sizeof un);
    out.length_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.path.size() + 1);
    return out;
  }
  sockaddr_in v4{};
  if (inet_pton(AF_INET, address.host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(address.port);
    std::memcpy(&out.storage_, &v4, sizeof v4);
    out.length_ = sizeof v4;
    return out;
  }
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET6, address.host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(address.port);
    std::memcpy(&out.storage_, &v6, sizeof v6);
    out.length_ = sizeof v6;
    return out;
  }
  return Invalid(address.Text() + ": " + address.host + " is not an IP address");
}

SocketAddress SocketAddress::FromRaw(const sockaddr* raw, socklen_t length) {
  SocketAddress out;
  out.length_ = std::min<socklen_t>(length, sizeof out.storage_);
  std::memcpy(&out.storage_, raw, out.length_);
  return out;
}

SocketAddress SocketAddress::LocalOf(int fd) {
  SocketAddress out;
  out.length_ = sizeof out.storage_;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&out.storage_), &out.length_) != 0)
    out.length_ = 0;
  return out;
}

std::uint16_t SocketAddress::port() const {
  if (family() == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(&storage_)->sin_port);
  if (family() == AF_INET6)
    return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_port);
  return 0;
}

SocketAddress SocketAddress::WithPort(std::uint16_t port) const {
  SocketAddress out = *this;
  if (family() == AF_INET) reinterpret_cast<sockaddr_in*>(&out.storage_)->sin_port = htons(port);
  if (family() == AF_INET6) reinterpret_cast<sockaddr_in6*>(&out.storage_)->sin6_port = htons(port);
  return out;
}

bool SocketAddress::IsLoopback() const {
  if (family() == AF_INET) {
    return ntohl(reinterpret_cast<const sockaddr_in*>(&storage_)->sin_addr.s_addr) >> 24U ==
           IN_LOOPBACKNET;
  }
  return family() == AF_INET6 &&
         IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_addr);
}

std::string SocketAddress::Text() const {
  if (family() == AF_INET) return Host() + ":" + std::to_string(port());
  if (family() == AF_INET6) return "[" + Host() + "]:" + std::to_string(port());
  return Host();
}

std::string SocketAddress::Host() const {
  char host[INET6_ADDRSTRLEN] = {};
  if (family() == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&storage_)->sin_addr, host,
              sizeof host);
    return host;
  }
  if (family() == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_addr, host,
              sizeof host);
    return host;
  }
  if (family() == AF_UNIX && length_ > offsetof(sockaddr_un, sun_path)) {
    return "unix:" + std::string(reinterpret_cast<const sockaddr_un*>(&storage_)->sun_path);
  }
  return "unix:";  // the unnamed end of a unix connection
}

bool SocketAddress::operator==(const SocketAddress& other) const {
  return length_ == other.length_ && std::memcmp(&storage_, &other.storage_, length_) == 0;
}

Result<UniqueFd> Listen(const Address& address) {
  auto where = SocketAddress::FromLiteral(address);
  if (!where) return where.error();
  const bool unix_socket = where->family() == AF_UNIX;
  if (unix_socket) {
    if (auto cleared = ClearStaleSocket(address, *where); !cleared) return cleared.error();
  }
  UniqueFd fd(socket(where->family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return CannotListen(address, Reason(errno));
  // our own TIME_WAIT must not block a restart
  if (!unix_socket) SetInt(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  // [::] is every address of both families, whatever this machine's default is
  // (net.ipv6.bindv6only).
  if (where->family() == AF_INET6 && address.IsWildcard())
    SetInt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (bind(fd.get(), where->raw(), where->length()) != 0) {
    const int error = errno;
    std::string why = Reason(error);
    if (error == EADDRINUSE)
      why += " (" +
             (unix_socket ? std::string("another process has it; choose another path")
                          : PortHolder(where->port())) +
             ')';
    if (error == EACCES && !unix_socket) {
      why +=
          " (ports below 1024 need CAP_NET_BIND_SERVICE: AmbientCapabilities=CAP_NET_BIND_SERVICE "
          "in the unit, or a port from 1024 on)";
    }
    if (error == EACCES && unix_socket) why += " (this user may not make a file there)";
    if (error == ENOENT && unix_socket) why += " (its folder is not there; make it)";
    if (error == EADDRNOTAVAIL) why += " (no interface of this machine has this address)";
    return CannotListen(address, why);
  }
  // Between bind and listen nobody can connect, so the mode is in force before the first client.
  if (unix_socket && chmod(address.path.c_str(), address.mode) != 0) {
    return CannotListen(address, Reason(errno));
  }
  // Accepted sockets inherit these: not one call for each of them.
  SetLegOptions(fd.get(), where->family());
  if (listen(fd.get(), kBacklog) != 0) return CannotListen(address, Reason(errno));
  return fd;
}

ConnectStart StartConnect(const SocketAddress& address) {
  ConnectStart start;
  start.fd = UniqueFd(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!start.fd) {
    start.error = errno;
    return start;
  }
  SetLegOptions(start.fd.get(), address.family());
  if (connect(start.fd.get(), address.raw(), address.length()) == 0) return start;
  // EINTR leaves the connect running in the kernel, like EINPROGRESS.
  if (errno != EINPROGRESS && errno != EINTR) {
    start.error = errno;
    return start;
  }
  // On loopback the kernel has done all of it by now; one look saves a turn through epoll.
  pollfd look{.fd = start.fd.get(), .events = POLLOUT, .revents = 0};
  if (address.IsLoopback() && poll(&look, 1, 0) == 1) {
    start.error = look.revents == POLLOUT ? 0 : PendingError(start.fd.get());
  } else {
    start.in_progress = true;
  }
  return start;
}

bool IsShortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS ||
         error == EADDRNOTAVAIL || error == EAGAIN || error == ENOSPC;
}

const char* CureOf(int error) {
  switch (error) {
    case EMFILE: return "raise the limit on open files (LimitNOFILE=) or lower the load";
    case ENFILE: return "raise fs.file-max, the limit of the whole machine";
    case ENOSPC:
      return "programs of this user hold all epoll watches: stop the one that does, or raise "
             "fs.epoll.max_user_watches";
    case EADDRNOTAVAIL: return "no local port is free: widen net.ipv4.ip_local_port_range";
    case EAGAIN:
      return "raise the limit on threads (LimitNPROC=, TasksMax=, ulimit -u) or configure fewer "
             "workers";
    case ENOMEM:
    case ENOBUFS: return "raise the limit on memory (MemoryMax=, LimitAS=) or lower the load";
    default: return "";
  }
}

std::string Explain(const std::system_error& error) {
  const std::string cure = CureOf(error.code().value());
  return std::string(error.what()) + (cure.empty() ? "" : "; " + cure);
}

int PendingError(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

void SetLegOptions(int fd, int family) {
  if (family == AF_UNIX) return;
  SetInt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  SetInt(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetInt(fd, IPPROTO_TCP, TCP_KEEPIDLE, static_cast<int>(kKeepaliveIdle.count()));
  SetInt(fd, IPPROTO_TCP, TCP_KEEPINTVL, static_cast<int>(kKeepaliveInterval.count()));
  SetInt(fd, IPPROTO_TCP, TCP_KEEPCNT, kKeepaliveProbes);
  SetInt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
         static_cast<int>(std::chrono::milliseconds(kUserTimeout).count()));
}

std::optional<ucred> PeerOf(int fd) {
  ucred peer{};
  socklen_t length = sizeof peer;
  // A TCP socket has the option as well, and nobody in it.
  if (SocketAddress::LocalOf(fd).family() != AF_UNIX ||
      getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
    return std::nullopt;
  return peer;
}

void SetResetOnClose(int fd) {
  const linger reset{.l_onoff = 1, .l_linger = 0};
  (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

int Unsent(int fd) {
  int bytes = 0;
  return ioctl(fd, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

int Unread(int fd) {
  int bytes = 0;
  return ioctl(fd, FIONREAD, &bytes) == 0 ? bytes : 0;
}

std::size_t FreeSendBuffer(int fd) {
  // A packet buffer of up to 64 KiB is charged with its header besides, and is granted while the
  // limit is not yet reached.
  constexpr std::uint32_t kPacket = 64 * 1024;
  std::uint32_t info[SK_MEMINFO_VARS] = {};
  socklen_t length = sizeof info;
  if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &length) != 0 || length < sizeof info) return 0;
  const std::uint32_t limit = info[SK_MEMINFO_SNDBUF];
  const std::uint32_t used =
      std::max(info[SK_MEMINFO_WMEM_QUEUED], info[SK_MEMINFO_WMEM_ALLOC]) + kPacket;
  return limit > used ? std::size_t{limit - used} / 16 * 15 : 0;
}

unsigned long FileLimit() {
  rlimit limit{};
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

unsigned long RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  if (limit.rlim_cur < limit.rlim_max) {
    const rlimit raised{.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) return limit.rlim_max;
  }
  return limit.rlim_cur;
}

}  // namespace mooring::net
