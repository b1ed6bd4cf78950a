#include "proxy/sidecar/app_end.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <string_view>
#include <utility>

#include "authz/text.h"
#include "proxy/config/file.h"

namespace mooring::sidecar {
namespace {

using net::milliseconds;

constexpr milliseconds kLook{50};

// Copied is what the bytes begin with, wherever they lie; what is cut short is followed by zeros.
template <typename Message>
Message Copied(std::string_view bytes) {
  Message message{};
  std::memcpy(&message, bytes.data(), std::min(sizeof message, bytes.size()));
  return message;
}

// Ask has the kernel list the listening sockets at that port, of one family.
Result<bool> Ask(int fd, unsigned char family, std::uint16_t port) {
  struct {
    nlmsghdr header;
    inet_diag_req_v2 wanted;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.wanted.sdiag_family = family;
  request.wanted.sdiag_protocol = IPPROTO_TCP;
  request.wanted.idiag_states = 1U << TCP_LISTEN;
  request.wanted.id.idiag_sport = htons(port);
  const auto failed = [] {
    return Error{ErrorCode::kUnavailable,
                 std::string("the kernel does not list sockets: ") + std::strerror(errno)};
  };
  if (send(fd, &request, sizeof request, 0) < 0) return failed();
  bool found = false;
  while (true) {
    std::array<char, 8192> answer;
    const ssize_t size = recv(fd, answer.data(), answer.size(), 0);
    if (size <= 0) return failed();
    std::string_view rest(answer.data(), static_cast<std::size_t>(size));
    while (rest.size() >= sizeof(nlmsghdr)) {
      const auto header = Copied<nlmsghdr>(rest);
      if (header.nlmsg_len < sizeof header || header.nlmsg_len > rest.size()) break;
      if (header.nlmsg_type == NLMSG_DONE) return found;
      const std::string_view body = rest.substr(sizeof header, header.nlmsg_len - sizeof header);
      if (header.nlmsg_type == NLMSG_ERROR) {
        errno = -Copied<nlmsgerr>(body).error;
        return failed();
      }
      found = found || Copied<inet_diag_msg>(body).id.idiag_sport == htons(port);
      rest.remove_prefix(std::min<std::size_t>(NLMSG_ALIGN(header.nlmsg_len), rest.size()));
    }
  }
}

}  // namespace

Result<bool> Listening(std::uint16_t port) {
  const net::UniqueFd fd(
      socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG));
  if (!fd) {
    return Error{ErrorCode::kUnavailable,
                 std::string("the kernel does not list sockets: ") + std::strerror(errno) +
                     "; RestrictAddressFamilies= in the unit has to allow AF_NETLINK"};
  }
  auto four = Ask(fd.get(), AF_INET, port);
  if (!four || *four) return four;
  return Ask(fd.get(), AF_INET6, port);
}

AppEnd::AppEnd(net::Loop& loop, log::Log& log, const config::StopAfter& after)
    : loop_(loop), log_(log), after_(after), look_(loop, [this] { Look(); }) {}

void AppEnd::Begin(std::function<void()> gone) {
  gone_ = std::move(gone);
  until_ = loop_.now() + after_.most;
  if (after_.port) {
    who_ = "port " + std::to_string(*after_.port);
  } else if (after_.pid) {
    OpenProcess(*after_.pid);
  } else {
    who_ = after_.pidfile;
    const auto text = config::ReadFile(after_.pidfile);
    long pid = 0;
    if (access(after_.pidfile.c_str(), F_OK) != 0 && errno == ENOENT) {
      process_gone_ = true;  // whoever ends well takes it away
    } else if (!text) {
      Unknown(text.error().message);
    } else {
      const std::string_view number = authz::Trimmed(*text);
      const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), pid);
      if (error != std::errc() || end != number.data() + number.size() || pid <= 0) {
        Unknown(after_.pidfile + " holds no PID");
      } else {
        OpenProcess(pid);
      }
    }
  }
  Look();
}

void AppEnd::OpenProcess(long pid) {
  who_ = "PID " + std::to_string(pid);
  // not in glibc before 2.36
  process_ = net::UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (process_) return;
  if (errno == ESRCH) {
    process_gone_ = true;
  } else {
    Unknown(who_ + ": " + std::strerror(errno));
  }
}

bool AppEnd::Gone() {
  if (process_gone_) return true;
  if (process_) {
    pollfd ended{.fd = process_.get(), .events = POLLIN, .revents = 0};
    return poll(&ended, 1, 0) == 1;
  }
  if (!after_.port) return false;
  const auto listens = Listening(static_cast<std::uint16_t>(*after_.port));
  if (!listens) Unknown(listens.error().message);
  return listens && !*listens;
}

void AppEnd::Look() {
  const bool gone = Gone();
  if (!gone && loop_.now() < until_) {
    look_.Start(kLook);
    return;
  }
  if (gone) {
    log_.Info("sidecar", "the app has gone", {{"app", who_}});
  } else {
    log_.Warn("sidecar", "the app is still there, and stop_max is over", {{"app", who_}});
  }
  std::exchange(gone_, nullptr)();
}

void AppEnd::Unknown(const std::string& why) {
  if (std::exchange(said_, true)) return;
  log_.Err("sidecar", "it cannot be told whether the app has gone; waiting for stop_max",
           {{"why", why}});
}

std::string AppEnd::awaited() const {
  if (!gone_) return {};
  const auto left = std::chrono::ceil<std::chrono::seconds>(until_ - loop_.now());
  return who_ + " for " + std::to_string(std::max<std::int64_t>(left.count(), 0)) + " s at most";
}

}  // namespace mooring::sidecar
