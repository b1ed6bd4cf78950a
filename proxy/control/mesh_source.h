// MeshSource: what Consul's mesh config entry asks of TLS, within what we offer (tls/offer.h).
//
// The entry is polled: it changes once in years, and a connection at the agent that waits for it
// would be one less for upstreams. An agent that has no such entry (404), or knows no such kind
// (Consul up to 1.9), asks for nothing. Every other answer that is not usable, and an entry that
// would leave nothing, changes nothing: what held before holds, from disk at first. Until the agent
// has answered for the first time, our own offer does. Loop thread only.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "authz/consul/api.h"
#include "proxy/control/agent.h"
#include "proxy/control/watch.h"
#include "proxy/log/log.h"
#include "proxy/net/loop.h"
#include "tls/offer.h"

namespace mooring::control {

class MeshSource final {
 public:
  // `widest` is what is offered where the entry asks for nothing.
  MeshSource(net::Loop& loop, log::Log& log, Agent& agent, tls::Offers widest,
             std::function<void()> on_change);
  MeshSource(const MeshSource&) = delete;
  MeshSource& operator=(const MeshSource&) = delete;

  void Start() { watch_.Start(); }

  // SetWidest is for another offer of our own; the entry is applied to it as to the one before.
  void SetWidest(tls::Offers widest);

  const tls::Offers& offers() const { return offers_; }
  bool exists() const { return exists_; }  // there is an entry
  // complaint is why the entry as it is now is not in force; empty if it is.
  const std::string& complaint() const { return complaint_; }
  const Watch& watch() const { return watch_; }

 private:
  bool IsAbsent(const http::Response& response);
  Status Take(const http::Response& response);
  // Narrow puts in force what an entry leaves of the widest. An error is that nothing is left.
  Status Narrow(const authz::MeshTls& entry);

  log::Log& log_;
  tls::Offers widest_;
  std::optional<authz::MeshTls> entry_;  // as it was last good
  const std::function<void()> on_change_;
  tls::Offers offers_;
  bool exists_ = false;
  std::string complaint_;
  Watch watch_;
};

}  // namespace mooring::control
