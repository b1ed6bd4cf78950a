// Maintenance: takes a registration that is not ours out of the catalog for the time of a drain, and back in at the
// next start: consul's maintenance mode, told by its reason from one that an operator has set. Loop thread only.
// Source: agent service API, maintenance.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "proxy/control/agent.h"
#include "proxy/http/client.h"
#include "proxy/log/log.h"

namespace mooring::control {

class Maintenance final {
 public:
  Maintenance(log::Log& log, Agent& agent, std::string proxy_id);
  Maintenance(const Maintenance&) = delete;
  Maintenance& operator=(const Maintenance&) = delete;

  void Enable(std::function<void()> done);
  // Undo ends a maintenance that an earlier run of ours began; one of an operator's stays. To be called again
  // and again (it does nothing once that is settled): at boot the agent may answer later than we start, and
  // a maintenance left in force would keep the service out of the catalog for good.
  void Undo();

 private:
  void Put(bool enable, std::function<void()> done);

  log::Log& log_;
  Agent& agent_;
  const std::string proxy_id_;
  std::unique_ptr<http::Client> client_;
  bool settled_ = false;  // the agent has said that no maintenance of ours is in force
  std::string last_error_;
};

}  // namespace mooring::control
