// AppEnd: waits, after the signal to stop, until the app has gone, so that its last words still get
// out through its upstreams. The app is a process (pidfd_open(2), so that another one that gets its
// number is not taken for it) or a local port at which somebody listens (sock_diag(7): asking it is
// no event for the app, as a connect would be).
//
// What cannot be told is waited for. It ends at the latest after stop_max. Control loop only.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "authz/result.h"
#include "proxy/config/settings.h"
#include "proxy/log/log.h"
#include "proxy/net/loop.h"
#include "proxy/net/socket.h"

namespace mooring::sidecar {

// Listening: a TCP socket of this network namespace listens at the port.
Result<bool> Listening(std::uint16_t port);

class AppEnd final {
 public:
  AppEnd(net::Loop& loop, log::Log& log, const config::StopAfter& after);
  AppEnd(const AppEnd&) = delete;
  AppEnd& operator=(const AppEnd&) = delete;

  // Begin looks now and every kLook. `gone` runs once, perhaps inside the call.
  void Begin(std::function<void()> gone);
  // awaited is who is waited for, and for how long at most; empty: nobody.
  std::string awaited() const;

 private:
  void OpenProcess(long pid);
  bool Gone();
  void Look();
  // Unknown says once why it cannot be told whether the app is there.
  void Unknown(const std::string& why);

  net::Loop& loop_;
  log::Log& log_;
  const config::StopAfter after_;
  std::string who_;
  bool process_gone_ = false;
  net::UniqueFd process_;
  bool said_ = false;
  net::MonotonicTime until_{};
  std::function<void()> gone_;  // null: nothing is waited for
  net::Timer look_;
};

}  // namespace mooring::sidecar
