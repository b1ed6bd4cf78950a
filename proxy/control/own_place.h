// OwnPlace: on which node and in which zone we run, as Consul has it, and how near an instance is.
//
// The node is that of the agent's checks, the zone is the node's (its Locality, or `zone` of its
// Meta), unless our registration has a Locality of its own. Both are asked for once in a while over
// a connection that all share. What cannot be read (no permission, no check there) is not known,
// and then nobody is near. Nothing of it is kept on disk: checks say more than is ours to keep.
// Loop thread only.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "authz/consul/api.h"
#include "authz/locality.h"
#include "proxy/control/agent.h"
#include "proxy/control/watch.h"
#include "proxy/data/endpoint.h"
#include "proxy/log/log.h"
#include "proxy/net/loop.h"

namespace mooring::control {

// Place is where we are; what is empty is not known.
struct Place {
  std::string node;
  authz::Locality locality;

  bool operator==(const Place&) const = default;
};

// NearnessOf says how near an instance is to who is in `place` of `datacenter`.
data::Nearness NearnessOf(const authz::Instance& instance, const Place& place,
                          const std::string& datacenter);

class OwnPlace final {
 public:
  OwnPlace(net::Loop& loop, log::Log& log, Agent& agent, std::function<void()> on_change);
  OwnPlace(const OwnPlace&) = delete;
  OwnPlace& operator=(const OwnPlace&) = delete;

  void Start() { checks_.Start(); }
  // SetRegistered: our registration says so; empty: it says nothing.
  void SetRegistered(const authz::Locality& locality) { registered_ = locality; }

  Place place() const;
  std::vector<const Watch*> Watches() const;

 private:
  Status TakeChecks(const http::Response& response);
  Status TakeNode(const http::Response& response);

  net::Loop& loop_;
  log::Log& log_;
  Agent& agent_;
  const std::function<void()> on_change_;
  authz::Locality registered_;
  authz::Locality of_node_;
  std::string node_;
  Watch checks_;
  std::optional<Watch> catalog_;  // once the node is known
};

}  // namespace mooring::control
