// Maintenance: Consul's maintenance mode on a registration that is not ours, by which it leaves the
// catalog for the time of a drain. Ours is told from an operator's by its reason. Loop thread only.
// Source: agent service API, maintenance.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "proxy/control/agent.h"
#include "proxy/log/log.h"
#include "proxy/net/loop.h"
#include "proxy/net/retry_pause.h"

namespace mooring::control {

class Maintenance final {
 public:
  Maintenance(net::Loop& loop, log::Log& log, Agent& agent, std::string proxy_id);
  Maintenance(const Maintenance&) = delete;
  Maintenance& operator=(const Maintenance&) = delete;

  const std::string& proxy_id() const { return proxy_id_; }
  // IsOurs tells a maintenance of ours by its reason.
  static bool IsOurs(const std::string& reason);

  // Set begins it; one try. `done` hears whether the agent has taken it, within a second. Never
  // over an operator's: the agent keeps the older reason, and End would end that one.
  void Set(std::function<void(bool)> done);
  // End ends what Set has begun: three tries, half a second apart at most. `done` runs when the
  // agent has answered, or after the last.
  void End(std::function<void()> done);
  // Undo ends a maintenance that an earlier run of ours began; one of an operator's stays. To be
  // called again and again (it does nothing once that is settled): at boot the agent may answer
  // later than we start, and a maintenance left in force would keep the service out of the catalog
  // for good.
  void Undo();

 private:
  void Put(bool enable, std::function<void(bool)> done);
  void TryEnd(int tries_left, std::function<void()> done);
  void UndoLater();  // not before a pause, at a later call

  net::Loop& loop_;
  log::Log& log_;
  Agent& agent_;
  const std::string proxy_id_;
  std::unique_ptr<Asker> asker_;
  net::RetryPause pause_;
  net::Timer again_;
  std::function<void()> after_again_;
  bool settled_ = false;  // the agent has said that no maintenance of ours is in force
  std::string last_error_;
};

}  // namespace mooring::control
