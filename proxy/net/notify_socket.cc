#include "proxy/net/notify_socket.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace mooring::net {

NotifySocket::NotifySocket(const std::string& address) {
  if (address.empty()) return;
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  if ((address[0] != '/' && address[0] != '@') || address.size() >= sizeof to.sun_path) {
    complaint_ = "NOTIFY_SOCKET is \"" + address +
                 "\": it must be a path or an abstract name, of " +
                 std::to_string(sizeof to.sun_path - 1) + " bytes at most";
    return;
  }
  std::copy(address.begin(), address.end(), to.sun_path);
  if (address[0] == '@') to.sun_path[0] = '\0';
  // A path may count its closing zero or not; an abstract name is what its length says.
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd || connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), size) != 0) {
    complaint_ = "NOTIFY_SOCKET is \"" + address + "\": " + std::strerror(errno);
    return;
  }
  fd_ = std::move(fd);
}

bool NotifySocket::Send(std::string_view lines, int fd) const noexcept {
  if (!there()) return false;
  iovec text{const_cast<char*>(lines.data()), lines.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  msghdr message{};
  message.msg_iov = &text;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  }
  return sendmsg(fd_.get(), &message, MSG_NOSIGNAL) == static_cast<ssize_t>(lines.size());
}

}  // namespace mooring::net
