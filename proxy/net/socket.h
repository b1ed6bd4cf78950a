// Sockets as values: addresses the kernel understands, descriptors that close themselves, and the
// options that every leg of a proxied connection gets. Non-blocking throughout; any thread.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <string>
#include <system_error>
#include <utility>

#include "authz/result.h"
#include "proxy/net/address.h"

namespace mooring::net {

// UniqueFd owns a file descriptor.
class UniqueFd final {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  ~UniqueFd() { Reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int Release() { return std::exchange(fd_, -1); }
  void Reset();

 private:
  int fd_ = -1;
};

// SocketAddress is a resolved address: IPv4, IPv6 or unix.
class SocketAddress final {
 public:
  SocketAddress() = default;
  // FromLiteral takes an address whose host is an IP literal, or a unix path; a host name is an
  // error (net/resolver.h resolves those).
  static Result<SocketAddress> FromLiteral(const Address& address);
  static SocketAddress FromRaw(const sockaddr* raw, socklen_t length);
  // LocalOf is the address that a bound socket got, port 0 resolved.
  static SocketAddress LocalOf(int fd);

  int family() const { return storage_.ss_family; }
  const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t length() const { return length_; }
  std::string Text() const;  // as Address::Text
  std::string Host() const;  // the IP address alone; of a unix socket as Text
  std::uint16_t port() const;
  SocketAddress WithPort(std::uint16_t port) const;  // IPv4 and IPv6
  bool IsLoopback() const;                           // 127.0.0.0/8 or ::1
  bool operator==(const SocketAddress& other) const;

 private:
  sockaddr_storage storage_{};
  socklen_t length_ = 0;
};

// Clients that the kernel keeps for a listening socket; it lowers this to net.core.somaxconn.
inline constexpr int kBacklog = 4096;

// Listen binds and listens, without SO_REUSEPORT: a second process on the port must fail, not share
// it. A unix path gets its mode before anyone can connect; a stale socket file that nobody answers
// is replaced, anything else at the path is an error. Errors name the address and what the kernel
// said.
Result<UniqueFd> Listen(const Address& address);

// StartConnect begins a connect. `in_progress` is true if it must be waited for (writable), false
// if it is already done, as on loopback it usually is. The error is an errno value, 0 for success.
struct ConnectStart {
  UniqueFd fd;
  int error = 0;
  bool in_progress = false;
};
ConnectStart StartConnect(const SocketAddress& address);

// IsShortage: this errno is a lack of descriptors, memory, ports, threads or epoll watches on our
// side, no fault of the peer's.
bool IsShortage(int error);
// CureOf says what an operator can do about a shortage; empty for any other errno.
const char* CureOf(int error);
// Explain is the message of a Loop, or a thread, that could not be made, with the cure.
std::string Explain(const std::system_error& error);

// PendingError reads and clears SO_ERROR.
int PendingError(int fd);

// A peer that has died is noticed: after 15 s of silence by keepalive probes (3, 5 s apart), with
// data under way by TCP_USER_TIMEOUT. Silence of a living peer ends nothing.
inline constexpr std::chrono::seconds kKeepaliveIdle{15};
inline constexpr std::chrono::seconds kKeepaliveInterval{5};
inline constexpr int kKeepaliveProbes = 3;
inline constexpr std::chrono::seconds kUserTimeout{30};

// SetLegOptions: TCP_NODELAY, keepalive, TCP_USER_TIMEOUT; nothing for AF_UNIX. Set on a listening
// socket it holds for all that it accepts (tcp(7): accepted sockets inherit them).
void SetLegOptions(int fd, int family);

// PeerOf is who connected to, or who listens at, a unix socket, as the kernel noted it then
// (SO_PEERCRED); absent: it is none.
std::optional<ucred> PeerOf(int fd);

// SetResetOnClose makes the coming close send a reset and drop what is still queued (SO_LINGER 0).
void SetResetOnClose(int fd);

// Unsent is the number of bytes that the peer's kernel has not acknowledged yet; 0 for unix
// sockets' sake on error.
int Unsent(int fd);

// Unread is the number of bytes that the kernel has for us; 0 on error.
int Unread(int fd);

// FreeSendBuffer is how many bytes of payload the kernel will take on this socket without refusing
// some; 0 if it cannot be told. What the kernel's own bookkeeping needs is allowed for.
std::size_t FreeSendBuffer(int fd);

// FileLimit is the soft limit on open files, 0 if it cannot be told.
unsigned long FileLimit();

// RaiseFileLimit lifts the soft limit on open files to the hard one and returns what is in force.
unsigned long RaiseFileLimit();

}  // namespace mooring::net
