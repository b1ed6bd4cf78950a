#include "proxy/net/inherited.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "authz/text.h"
#include "proxy/net/refusing_port.h"
#include "proxy/net/resolver.h"

namespace mooring::net {
namespace {

constexpr std::string_view kKept = "mooring@";
constexpr std::size_t kLongestName = 255;  // sd_notify(3)
constexpr char kPassed[] = "a descriptor that was passed to us";

int Option(int fd, int level, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  return getsockopt(fd, level, name, &value, &length) == 0 ? value : -1;
}

std::string Called(const std::string& name) { return name.empty() ? "" : " (" + name + ")"; }

// WhyUseless is why nobody can accept at this descriptor; empty: one can, now or after ListenAgain.
std::string WhyUseless(int fd, const SocketAddress& at) {
  const int type = Option(fd, SOL_SOCKET, SO_TYPE);
  if (type < 0) return "is no socket";
  const bool unix_socket = at.family() == AF_UNIX;
  if (!unix_socket && at.family() != AF_INET && at.family() != AF_INET6)
    return "is a socket of a family that is not known here: ListenStream= with an IP address or a "
           "path";
  if (type != SOCK_STREAM) return "is no stream socket: ListenStream= in the socket unit";
  sockaddr_storage peer{};
  socklen_t length = sizeof peer;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) == 0)
    return "is a connection, no listening socket: Accept=no in the socket unit";
  if (unix_socket ? at.Text() == "unix:" : at.port() == 0)
    return unix_socket ? "has no path: ListenStream= with one" : "is not bound to a port";
  if (unix_socket && !Listens(fd)) return "does not listen";
  return {};
}

// IsWhole: a socket at [::] takes what comes to every address of both families.
bool IsWhole(int fd, const SocketAddress& at) {
  return at.family() == AF_INET6 && Option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0 && at.Host() == "::";
}

bool Fits(int fd, const SocketAddress& at, const SocketAddress& wanted) {
  const bool everywhere = wanted.Host() == "::" || wanted.Host() == "0.0.0.0";
  if (everywhere && at.family() == AF_INET6) return IsWhole(fd, at) && at.port() == wanted.port();
  return at == wanted;
}

// Reached is an error where clients would not come to this socket by its path, or more would than
// may.
Status Reached(const Address& wanted, const std::string& name) {
  struct stat info {};
  if (lstat(wanted.path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode))
    return Error{ErrorCode::kNotFound, "its file is gone"};
  const unsigned more = info.st_mode & 0777U & ~wanted.mode;
  if (more == 0) return Ok();
  const auto octal = [](unsigned mode) {
    char digits[8] = {};
    std::to_chars(digits, digits + sizeof digits - 1, mode, 8);
    return "0" + std::string(digits);
  };
  return Invalid("cannot listen on " + wanted.Text() + ": the socket that was passed to us" +
                 Called(name) + " has mode " + octal(info.st_mode & 0777U) + ", and " +
                 octal(wanted.mode) + " is wanted; say SocketMode=" + octal(wanted.mode) +
                 " in the socket unit, or the mode that it has in our settings");
}

std::optional<long> Number(const char* text) {
  const std::string_view all(text == nullptr ? "" : text);
  long number = 0;
  const auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), number);
  if (error != std::errc() || end != all.data() + all.size() || number < 0) return std::nullopt;
  return number;
}

}  // namespace

std::string KeptName(const Address& wanted) {
  return std::string(kKept) + authz::PercentEncoded(wanted.Text());
}

bool Inherited::Socket::HeldByUnit() const { return !name.empty() && !name.starts_with(kKept); }

std::string Inherited::Given::Text() const { return at.Text() + Called(name); }

void Inherited::Add(UniqueFd fd, std::string name) {
  Receive(std::move(fd), std::move(name), /*deserted=*/false);
}

void Inherited::Receive(UniqueFd fd, std::string name, bool deserted) {
  const SocketAddress at = SocketAddress::LocalOf(fd.get());
  if (const std::string useless = WhyUseless(fd.get(), at); !useless.empty()) {
    complaints_.push_back(kPassed + Called(name) + ' ' + useless);
    return;
  }
  const int flags = fcntl(fd.get(), F_GETFL);
  if (fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0 || flags < 0 ||
      fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    complaints_.push_back(kPassed + Called(name) + ": " + std::strerror(errno));
    return;
  }
  // As a socket that we open has them: what it accepts inherits them.
  SetLegOptions(fd.get(), at.family());
  given_.push_back({std::move(fd), std::move(name), at, deserted, nullptr});
}

void Inherited::AddFromManager(int first) {
  const char* const count_text = std::getenv("LISTEN_FDS");
  const char* const pid_text = std::getenv("LISTEN_PID");
  const char* const names_text = std::getenv("LISTEN_FDNAMES");
  const std::string given = count_text != nullptr ? count_text : "";
  const std::string whose = pid_text != nullptr ? pid_text : "";
  std::string names = names_text != nullptr ? names_text : "";
  for (const char* name : {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}) (void)unsetenv(name);
  if (given.empty() && whose.empty()) return;
  const auto count = Number(given.c_str());
  const auto pid = Number(whose.c_str());
  if (!count || !pid) {
    complaints_.push_back("LISTEN_FDS is \"" + given + "\" and LISTEN_PID \"" + whose +
                          "\": both must be numbers; no socket was taken");
    return;
  }
  if (*pid != getpid()) {
    complaints_.push_back("LISTEN_FDS is for process " + whose + ", and this is " +
                          std::to_string(getpid()) +
                          ": no socket was taken; a script between us and the manager has to exec");
    return;
  }
  for (long i = 0; i < *count; ++i) {
    const int fd = first + static_cast<int>(i);
    if (fcntl(fd, F_GETFD) < 0) {
      complaints_.push_back("LISTEN_FDS is " + given + ", and descriptor " + std::to_string(fd) +
                            " is not open");
      return;
    }
    const std::size_t end = std::min(names.find(':'), names.size());
    std::string name = names.substr(0, end);
    names.erase(0, end + 1);
    // What a manager has and does not name is not ours alone either; this is its own word for it.
    Receive(UniqueFd(fd), name.empty() ? "unknown" : std::move(name), /*deserted=*/true);
  }
}

Result<Inherited::Socket> Inherited::Take(const Address& wanted,
                                          const std::vector<SocketAddress>& found) {
  const Error none{ErrorCode::kNotFound, "no socket for " + wanted.Text() + " was passed to us"};
  if (wanted.kind == Address::Kind::kTcp && wanted.port == 0) return none;
  for (const SocketAddress& where : found) {
    const auto it = std::find_if(given_.begin(), given_.end(), [&](const Given& each) {
      return Fits(each.fd.get(), each.at, where);
    });
    if (it == given_.end()) continue;
    if (wanted.kind == Address::Kind::kUnix) {
      if (const Status reached = Reached(wanted, it->name); !reached) return reached.error();
    }
    Socket socket{std::move(it->fd), std::move(it->name), true, it->deserted};
    given_.erase(it);
    return socket;
  }
  return none;
}

void Inherited::Return(Socket socket) noexcept {
  if (!socket.fd) return;
  const SocketAddress at = SocketAddress::LocalOf(socket.fd.get());
  given_.push_back({std::move(socket.fd), std::move(socket.name), at, socket.deserted, nullptr});
}

Result<Inherited::Socket> Inherited::Open(const Address& wanted,
                                          const std::vector<SocketAddress>& found) {
  auto taken = Take(wanted, found);
  if (taken || taken.error().code != ErrorCode::kNotFound) return taken;
  auto fresh = ListenAny(wanted, found);
  if (fresh) return Socket{std::move(*fresh), {}};
  Error error = fresh.error();
  for (const Given& each : given_) {
    if (wanted.port == 0 || each.at.port() != wanted.port) continue;
    error.message += "; the socket that was passed to us" + Called(each.name) + " is at " +
                     each.at.Text() +
                     (each.at.Host() == "::" && !IsWhole(each.fd.get(), each.at)
                          ? ", for IPv6 alone (BindIPv6Only=both in the socket unit)"
                          : "") +
                     ", which is not what is wanted";
  }
  return error;
}

bool Inherited::Keep(const Address& wanted, Socket* socket) const {
  const bool comes_back = wanted.kind == Address::Kind::kUnix || wanted.port != 0;
  if (store_ == nullptr || socket->Kept() || !comes_back) return true;
  std::string name = KeptName(wanted);
  // One that refuses hangs up, and stays in the store all the same.
  if (name.size() > kLongestName ||
      !store_->Send("FDSTORE=1\nFDPOLL=0\nFDNAME=" + name, socket->fd.get()))
    return false;
  socket->name = std::move(name);
  return true;
}

void Inherited::Forget(const std::string& name) const noexcept {
  if (store_ == nullptr) return;
  char lines[kLongestName + 64];
  const int length = std::snprintf(lines, sizeof lines, "FDSTOREREMOVE=1\nFDNAME=%s", name.c_str());
  (void)store_->Send({lines, static_cast<std::size_t>(length)});
}

void Inherited::LetGo(const Address& wanted, Socket socket) noexcept {
  if (socket.HeldByUnit()) {
    socket.deserted = true;  // it was ours
    Return(std::move(socket));
    return;
  }
  if (!socket.fd) return;
  if (socket.Kept()) Forget(socket.name);
  if (wanted.kind == Address::Kind::kUnix) (void)unlink(wanted.path.c_str());
}

void Inherited::TurnAway(Loop& loop, const OnReset& on_reset) {
  for (Given& each : given_) {
    if (!each.deserted || each.turns_away) continue;
    UniqueFd share(fcntl(each.fd.get(), F_DUPFD_CLOEXEC, 0));
    if (!share) continue;  // another time
    Acceptor::Callbacks callbacks;
    callbacks.on_accept = [on_reset, text = each.Text()](const UniqueFd& fd,
                                                         const SocketAddress& peer) {
      SetResetOnClose(fd.get());
      on_reset(peer, text);
    };
    callbacks.on_pause = [](int) {};
    each.turns_away = std::make_unique<Acceptor>(loop, std::move(share), std::move(callbacks));
  }
}

std::vector<std::string> Inherited::LetGoUnused() {
  std::vector<std::string> gone;
  std::erase_if(given_, [&](const Given& each) {
    if (!each.name.empty() && !each.name.starts_with(kKept)) return false;
    gone.push_back(each.at.Text());
    if (!each.name.empty()) Forget(each.name);
    return true;
  });
  return gone;
}

std::vector<std::string> Inherited::Left() const {
  std::vector<std::string> left;
  for (const Given& each : given_) left.push_back(each.Text());
  return left;
}

}  // namespace mooring::net
