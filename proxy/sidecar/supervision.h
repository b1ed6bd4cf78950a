// Supervision: what the service manager is told of us, in a unit of Type=notify: that we can serve,
// what is missing until then, that we end, and, as long as every loop turns, that we live
// (sd_notify(3), systemd.service(5) WatchdogSec=).
//
// However long we wait for the agent or drain, the manager is asked for time: nobody has to guess
// TimeoutStartSec= or TimeoutStopSec=. Without a manager it does nothing. Control loop only.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>

#include "proxy/net/loop.h"
#include "proxy/net/notify_socket.h"

namespace mooring::sidecar {

class Supervision final {
 public:
  // What a manager has put into our environment.
  struct Environment {
    std::string notify_socket;                         // $NOTIFY_SOCKET
    std::optional<net::milliseconds> watchdog_period;  // $WATCHDOG_USEC, where it is for us
    static Environment Read();
  };

  // `all_turn` says whether the other loops have turned within such a time.
  Supervision(net::Loop& loop, const Environment& environment,
              std::function<bool(net::milliseconds within)> all_turn);
  Supervision(const Supervision&) = delete;
  Supervision& operator=(const Supervision&) = delete;

  // Begin has the watchdog told from now on.
  void Begin();
  // Tell says how we are, in one line. `ready` counts the first time. To be called when it changes,
  // and about once a second.
  void Tell(bool ready, const std::string& state);
  // HandTo says that another process is the main one from now on, which a manager takes from the
  // main one alone (systemd's NotifyAccess=main), and ends what this one says.
  void HandTo(pid_t successor);
  // Ends says that the end has begun; what Tell says is of that from now on.
  void Ends();

  bool there() const { return socket_.there(); }
  const net::NotifySocket& socket() const { return socket_; }
  const Environment& environment() const { return environment_; }
  const std::string& complaint() const { return socket_.complaint(); }

 private:
  void Ping();

  net::Loop& loop_;
  const Environment environment_;
  const net::NotifySocket socket_;
  const std::function<bool(net::milliseconds)> all_turn_;
  net::Timer ping_;
  bool ready_ = false;
  bool ends_ = false;
  bool handed_ = false;
  std::string told_;
  std::optional<net::MonotonicTime> asked_at_;  // for more time
};

}  // namespace mooring::sidecar
