#include "proxy/net/refusing_port.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "proxy/net/socket.h"

namespace mooring::net {
namespace {

Error Failed(int fd, const char* what, int error) {
  return {ErrorCode::kUnavailable, std::string("cannot ") + what + " at " +
                                       SocketAddress::LocalOf(fd).Text() + ": " +
                                       std::strerror(error)};
}

bool Set(int fd, int option, int value) {
  return setsockopt(fd, SOL_SOCKET, option, &value, sizeof value) == 0;
}

// Guard holds the port of a socket beside it, for as long as that one's SO_REUSEADDR is on while it
// does not listen.
class Guard final {
 public:
  explicit Guard(int fd) : guarded_(fd) {}
  ~Guard() {
    (void)Set(guarded_, SO_REUSEPORT, 0);
    fd_.Reset();
    Settle();
  }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

  // Begin leaves errno where it fails.
  bool Begin() {
    const SocketAddress place = SocketAddress::LocalOf(guarded_);
    fd_ = UniqueFd(socket(place.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd_) return false;
    int v6_only = 0;
    socklen_t length = sizeof v6_only;
    if (place.family() == AF_INET6 &&
        (getsockopt(guarded_, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, &length) != 0 ||
         setsockopt(fd_.get(), IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, length) != 0))
      return false;
    // Its own SO_REUSEADDR is for the connections that were accepted there, and goes once it is
    // bound.
    return Set(guarded_, SO_REUSEPORT, 1) && Set(fd_.get(), SO_REUSEPORT, 1) &&
           Set(fd_.get(), SO_REUSEADDR, 1) && bind(fd_.get(), place.raw(), place.length()) == 0 &&
           Set(fd_.get(), SO_REUSEADDR, 0);
  }

 private:
  // Settle: the kernel remembers of a port that SO_REUSEPORT was asked for last, and would let
  // others of our user share it from then on. One that is bound there without it has it forget
  // that: for a moment, at an address of loopback that is nobody's. A port on every interface has
  // no such address.
  void Settle() const noexcept {
    sockaddr_in other{};
    other.sin_family = AF_INET;
    other.sin_port = htons(SocketAddress::LocalOf(guarded_).port());
    other.sin_addr.s_addr = htonl(0x7f4d0101);  // 127.77.1.1
    const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    (void)bind(fd.get(), reinterpret_cast<const sockaddr*>(&other), sizeof other);
  }

  const int guarded_;
  UniqueFd fd_;
};

}  // namespace

bool Listens(int fd) {
  int listens = 0;
  socklen_t length = sizeof listens;
  return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) == 0 && listens != 0;
}

Status RefuseAt(int fd) {
  if (!Set(fd, SO_REUSEADDR, 0)) return Failed(fd, "refuse", errno);
  if (shutdown(fd, SHUT_RD) == 0) return Ok();
  const int error = errno;
  (void)Set(fd, SO_REUSEADDR, 1);
  return Failed(fd, "refuse", error);
}

Status ListenAgain(int fd) {
  // Without a connection that was accepted there nothing stands in the way.
  if (listen(fd, kBacklog) != 0) {
    if (errno != EADDRINUSE) return Failed(fd, "listen", errno);
    Guard guard(fd);
    if (!guard.Begin()) return Failed(fd, "listen", errno);
    const bool listens = Set(fd, SO_REUSEADDR, 1) && listen(fd, kBacklog) == 0;
    const int error = errno;
    if (!listens) {
      (void)Set(fd, SO_REUSEADDR, 0);
      return Failed(fd, "listen", error);
    }
  }
  // While it listens nobody shares the port by it, and connections inherit it: neither a restart
  // nor the next ListenAgain finds them in the way.
  if (!Set(fd, SO_REUSEADDR, 1)) return Failed(fd, "listen", errno);
  return Ok();
}

}  // namespace mooring::net
