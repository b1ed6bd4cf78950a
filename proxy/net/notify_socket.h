// NotifySocket: the way to the service manager that has started us (sd_notify(3), "Notes").
#pragma once

#include <string>
#include <string_view>

#include "proxy/net/socket.h"

namespace mooring::net {

class NotifySocket final {
 public:
  // `address` is $NOTIFY_SOCKET: a path, or `@` and an abstract name; empty: there is no manager.
  explicit NotifySocket(const std::string& address);

  // there: somebody is to be told. complaint: an address that we cannot reach; empty: none.
  bool there() const { return fd_.get() >= 0; }
  const std::string& complaint() const { return complaint_; }
  // Send tells lines of NAME=value together, and gives a duplicate of `fd` with them, unless that
  // is negative. It does not wait: where the manager does not read, it is not told. Any thread.
  bool Send(std::string_view lines, int fd = -1) const noexcept;

 private:
  UniqueFd fd_;
  std::string complaint_;
};

}  // namespace mooring::net
