// ServiceDefaults: what the service's central entry asks of its sidecar and the agent merges into
// no registration.
//
// That is MutualTLSMode: "permissive" has Envoy take callers without TLS, which Mooring never does;
// it is said once. The entry is polled, for it only tells us what to say: one that cannot be read
// (no permission, none there) tells nothing. Loop thread only.
#pragma once

#include <string>

#include "proxy/control/agent.h"
#include "proxy/control/watch.h"
#include "proxy/log/log.h"
#include "proxy/net/loop.h"

namespace mooring::control {

class ServiceDefaults final {
 public:
  ServiceDefaults(net::Loop& loop, log::Log& log, Agent& agent, std::string service);
  ServiceDefaults(const ServiceDefaults&) = delete;
  ServiceDefaults& operator=(const ServiceDefaults&) = delete;

  void Start() { watch_.Start(); }
  const Watch& watch() const { return watch_; }

 private:
  Status Take(const http::Response& response);

  log::Log& log_;
  const std::string service_;
  bool permissive_ = false;
  Watch watch_;
};

}  // namespace mooring::control
