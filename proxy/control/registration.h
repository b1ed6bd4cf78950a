// Registration: keeps our own entry in the agent's catalog (`-register`), and takes it out for a drain.
//
// Kept: registered once the caller says that we can serve, with a TTL check that is passed every 10 s,
// registered again when the agent has lost it. The check goes critical 30 s after a crash and the entry is
// removed by the agent after ten minutes more. Loop thread only. Source: Consul's agent service API.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "proxy/control/agent.h"
#include "proxy/log/log.h"
#include "proxy/net/loop.h"

namespace mooring::control {

class Registration final {
 public:
  struct Entry {
    std::string id;       // <service>-proxy[-<suffix>]
    std::string service;  // the destination service
    std::string address;  // empty: the agent's node address, which the cluster reaches this machine by
    std::uint16_t port = 0;
  };

  Registration(net::Loop& loop, log::Log& log, Agent& agent, Entry entry);
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;

  void Start();
  bool registered() const { return registered_; }
  std::string last_error() const { return last_error_; }

  const std::string& id() const { return entry_.id; }

  // Suspend makes the check critical, so that nobody is sent here any more. `done` hears whether the agent has taken it, within a
  // second. If not, heartbeats go on.
  void Suspend(std::function<void(bool)> done);
  // Resume passes the check again, at once and from then on.
  void Resume();
  // Remove deregisters: three tries, half a second apart. `done` as above.
  void Remove(std::function<void()> done);

 private:
  void Register();
  void Pass();
  void Later(net::milliseconds delay, void (Registration::*what)());
  void Failed(log::Literal what, const Error& why);
  void TryRemove(int tries_left, std::function<void()> done);

  net::Loop& loop_;
  log::Log& log_;
  Agent& agent_;
  const Entry entry_;
  std::unique_ptr<Asker> asker_;
  net::Timer timer_;
  void (Registration::*next_)() = nullptr;
  std::function<void()> after_timer_;
  bool registered_ = false;
  bool asked_ = false;  // a registration has been sent, whatever came of it
  std::string last_error_;
};

}  // namespace mooring::control
