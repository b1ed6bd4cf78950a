// UpstreamRoute: where an upstream's connections go: to the first target of its discovery chain
// that has healthy instances.
//
// The chain is compiled by Consul (service-resolver: redirect, subsets, failover); what it comes to
// is chain_reading.h's. One that leads elsewhere than to the upstream itself waits for changes on a
// connection that no upstream needs; else it is polled, of the agent's cache. Each target is an
// UpstreamSource, which proves its own identity. The first two are followed from the start, further
// ones once those before them have nobody. What a chain says beyond that is said once. Static
// endpoints, prepared queries and upstreams of a datacenter that is named have one target and no
// chain. Loop thread only.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "authz/consul/api.h"
#include "proxy/config/settings.h"
#include "proxy/control/agent.h"
#include "proxy/control/upstream_source.h"
#include "proxy/control/watch.h"
#include "proxy/data/snapshot.h"
#include "proxy/data/upstream_memory.h"

namespace mooring::control {

class UpstreamRoute final {
 public:
  using OnChange = std::function<void()>;

  // As UpstreamSource's.
  UpstreamRoute(net::Loop& loop, log::Log& log, Agent* agent, config::UpstreamSettings upstream,
                net::milliseconds connect_timeout, net::milliseconds idle_timeout,
                std::shared_ptr<data::UpstreamMemory> memory, OnChange on_change);
  UpstreamRoute(const UpstreamRoute&) = delete;
  UpstreamRoute& operator=(const UpstreamRoute&) = delete;

  void Start();
  bool Use(const config::UpstreamSettings& next, net::milliseconds connect_timeout,
           net::milliseconds idle_timeout);
  void SetOwnIdentity(const std::string& trust_domain, const authz::ServiceId& own);
  void SetPlace(const Place& place);
  // CheckAge is to be called about once a second.
  void CheckAge();

  std::shared_ptr<const data::UpstreamRules> Rules() const { return rules_; }
  const config::UpstreamSettings& settings() const { return settings_; }
  const std::shared_ptr<data::UpstreamMemory>& memory() const { return memory_; }
  // source is where connections go now.
  const UpstreamSource& source() const { return *targets_[active_].source; }
  // watch is the one that says who the instances are, or while that is not known the one that says
  // whose; null: nobody is asked.
  const Watch* watch() const { return Decided() ? source().watch() : &*chain_watch_; }
  // Watches are those of every target that is followed, and of the chain where that leads elsewhere
  // than to the upstream itself, or fails: of many upstreams most have a chain that says nothing.
  std::vector<const Watch*> Watches() const;
  // Answered: it is known where connections go, or why nowhere.
  bool Answered() const;
  std::string Complaint() const;

  // TargetView is one target, in the chain's order; where there is no chain, the upstream itself.
  struct TargetView {
    std::string name;
    bool active = false;
    bool followed = false;
    std::size_t healthy = 0;
  };
  std::vector<TargetView> Targets() const;
  // FailedOver is why connections go to a target that stands in for another; empty: they do not.
  std::string FailedOver() const;
  // Notable: there is more to tell of the chain than that it leads to the upstream itself.
  bool Notable() const;
  bool LeadsElsewhere() const;  // by its chain
  std::string Active() const { return NameOf(active_); }

 private:
  struct Target {
    std::unique_ptr<UpstreamSource> source;
    bool followed = false;
  };

  bool Decided() const { return !chain_watch_ || targets_.front().followed || nowhere_; }
  Target Make(UpstreamSource::Target target, std::shared_ptr<data::UpstreamMemory> memory);
  Status TakeChain(const http::Response& response);
  void FollowChain(const authz::Chain& chain);
  void OnChainError(const Error& error);
  void Go(std::vector<UpstreamSource::Target> wanted);
  void Follow(std::size_t index);
  // Best is the target to go to. One that goes before it and is not known yet is waited for.
  std::size_t Best();
  bool Serves(std::size_t index) const {
    return !targets_[index].source->Rules()->endpoints.empty();
  }
  // Holds: connections do not go back to that one yet.
  bool Holds(std::size_t best);
  void Choose();
  void SayWhereTo();
  void Publish();
  // Refused names what the token may not read of the targets that connections do not go to now.
  std::string Refused() const;
  std::string NameOf(std::size_t index) const;
  net::milliseconds ConnectTimeout() const;

  net::Loop& loop_;
  log::Log& log_;
  Agent* const agent_;
  config::UpstreamSettings settings_;
  net::milliseconds connect_timeout_;
  net::milliseconds idle_timeout_;
  const std::shared_ptr<data::UpstreamMemory> memory_;
  const OnChange on_change_;
  std::optional<Watch> chain_watch_;
  std::optional<authz::Chain> chain_;
  std::optional<net::milliseconds> chain_connect_timeout_;
  std::string beyond_;           // what of the chain is not followed; empty: nothing
  std::set<std::string> said_;   // of that, in the log
  bool nowhere_ = false;         // no target of the chain can be dialled from here
  std::vector<Target> targets_;  // one at least
  std::size_t active_ = 0;
  std::size_t told_ = 0;  // of them, which the log has as where connections go
  // that connections go back to, and since when it has healthy instances
  std::optional<std::size_t> back_to_;
  net::MonotonicTime back_since_{};
  net::Timer back_;
  std::string trust_domain_;
  std::optional<authz::ServiceId> own_;
  std::optional<Place> place_;
  // what rules_ was made of
  std::vector<std::shared_ptr<const void>> parts_;
  bool parts_nowhere_ = false;
  std::shared_ptr<const data::UpstreamRules> rules_;
};

}  // namespace mooring::control
