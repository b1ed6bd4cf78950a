// CheckRunner: runs what the checks in a State ask for: TTL clocks, TCP connects, and the time
// after which a critical service is taken away.
//
// A TCP check runs at once, then every second until it passes, then every Interval: a sidecar that
// starts just after its registration is found without Consul's wait. Loop thread only; writes into
// the State, which outlives it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "proxy/dev/state.h"
#include "proxy/net/loop.h"
#include "proxy/net/resolver.h"

namespace mooring::dev {

class CheckRunner final {
 public:
  // `on_reap` is told of a service that was critical for too long, before it is deregistered.
  CheckRunner(net::Loop& loop, State& state, std::function<void(const Check&)> on_reap);
  ~CheckRunner();
  CheckRunner(const CheckRunner&) = delete;
  CheckRunner& operator=(const CheckRunner&) = delete;

  // Sync follows the State: starts, restarts and ends what changed. Never from inside State's
  // on_change.
  void Sync();

 private:
  class Running;
  net::Loop& loop_;
  State& state_;
  std::function<void(const Check&)> on_reap_;
  net::Resolver resolver_;
  std::map<std::string, std::unique_ptr<Running>> running_;  // by check ID
};

}  // namespace mooring::dev
