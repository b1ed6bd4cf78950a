// UpstreamSource: the healthy instances of one target of an upstream, and the identity they must
// prove. Which target connections go to is upstream_route.h's.
//
// Three kinds: a service (watched through health/connect), a prepared query (polled, it cannot be
// waited on), endpoints given in the file. A service's answer has all instances: of those that
// carry the tag that is wanted (tagged_instances.h, by a watch of its own), healthy_instances.h
// says which are tried, own_place.h how near they are, departures.h who has left. A query is
// filtered by Consul. Host names are resolved
// here, so that workers see IP addresses only. The identity is made of the target's name (a query:
// the Service of its answer), our trust domain, namespace and partition, and the answering
// datacenter; never of what a catalog entry says of itself. Loop thread only.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "authz/consul/api.h"
#include "proxy/config/settings.h"
#include "proxy/control/absence.h"
#include "proxy/control/agent.h"
#include "proxy/control/departures.h"
#include "proxy/control/endpoint_names.h"
#include "proxy/control/healthy_instances.h"
#include "proxy/control/own_place.h"
#include "proxy/control/tagged_instances.h"
#include "proxy/control/watch.h"
#include "proxy/data/snapshot.h"
#include "proxy/data/upstream_memory.h"

namespace mooring::control {

class UpstreamSource final {
 public:
  using OnChange = std::function<void()>;

  // Target is whose instances they are.
  struct Target {
    std::string service{};
    std::string datacenter{};  // empty: our own
    std::string filter{};      // for the agent; empty: all
    bool only_passing = false;
    // how they are reached; kNone: directly
    config::MeshGateway gateway = config::MeshGateway::kNone;
    std::string server_name{};  // of a subset, for gateways; empty: that of the identity
    std::string id{};           // in the chain, for messages; empty: it is the upstream itself

    bool operator==(const Target&) const = default;
  };

  // `agent` may be null if the upstream has static endpoints. The two timeouts hold unless
  // `upstream` has its own. `memory` is that of its listener, which may be older than this object.
  UpstreamSource(net::Loop& loop, log::Log& log, Agent* agent, config::UpstreamSettings upstream,
                 Target target, net::milliseconds connect_timeout, net::milliseconds idle_timeout,
                 std::shared_ptr<data::UpstreamMemory> memory, OnChange on_change);
  UpstreamSource(const UpstreamSource&) = delete;
  UpstreamSource& operator=(const UpstreamSource&) = delete;

  void Start();
  // Use takes up other settings of the same upstream, with what is known of its instances. False:
  // the agent would be asked for something else by them, so that another object is needed.
  bool Use(const config::UpstreamSettings& next, net::milliseconds connect_timeout,
           net::milliseconds idle_timeout);
  // SetOwnIdentity gives the trust domain in force and our own ID; called at every change.
  void SetOwnIdentity(const std::string& trust_domain, const authz::ServiceId& own);
  // SetPlace says where we are; called at every change.
  void SetPlace(const Place& place);

  // OnError is told of every question about the instances that has failed.
  void OnError(const std::function<void()>& on_error);

  // CheckAge notes it in the rules when the endpoints have become older than max_stale, or fresh
  // again; to be called about once a second.
  void CheckAge();

  std::shared_ptr<const data::UpstreamRules> Rules() const { return rules_; }
  const config::UpstreamSettings& settings() const { return settings_; }
  const Target& target() const { return target_; }
  const EndpointNames& names() const { return names_; }
  const std::shared_ptr<data::UpstreamMemory>& memory() const { return memory_; }
  const Watch* watch() const { return watch_ ? &*watch_ : nullptr; }
  // Watches are that one and the one for tags.
  std::vector<const Watch*> Watches() const;
  // Fails: the agent's last word about the instances was an error.
  bool Fails() const;
  // tagged is who carries the tag that is wanted; null: none is wanted.
  const TaggedInstances* tagged() const { return tags_watch_ ? &tagged_ : nullptr; }
  // FollowsDepartures: sessions to an instance that has left end. SeesAtOnce: a change is heard of
  // when it happens, not at the next poll.
  bool FollowsDepartures() const { return departures_.has_value(); }
  bool SeesAtOnce() const;
  // Grace is how long an exchange with an instance that has left may take.
  net::milliseconds Grace() const {
    return settings_.departure_grace.value_or(data::UpstreamRules{}.departure_grace);
  }
  // Answered: the agent has said who the instances are, or that it will not say; static endpoints
  // need nobody's answer.
  bool Answered() const;
  // Complaint is why it serves less than it should: the agent has refused the whole truth about the
  // instances, the catalog spells the name otherwise, a query was answered by a peer. Empty:
  // nothing is known to be wrong.
  std::string Complaint() const;
  // TooLongToDial: the name that its sidecars are called by does not fit into TLS; empty: it does.
  std::string TooLongToDial() const;

 private:
  Status TakeInstances(const http::Response& response);
  Status TakeQuery(const http::Response& response);
  Status TakeTags(const http::Response& response);
  Status TakeGateways(const http::Response& response);
  // Publish tells of rules that are other ones; `anyway`: by other settings.
  void Publish(bool anyway = false);
  void Take(std::vector<authz::Instance> instances, const http::Response& response);
  // HoldOn: this answer, the first after an outage, lists nobody where there was somebody; it waits
  // a little.
  bool HoldOn(const std::vector<authz::Instance>& instances);
  void Use();  // makes the endpoints of instances_
  bool Chosen(const authz::Instance& instance) const;
  data::Nearness NearnessOf(const authz::Instance& instance) const;
  void FollowDepartures(net::MonotonicTime now);
  bool TooOld() const;  // an answer that this goes by
  void NoteSpelling(const std::vector<authz::Instance>& instances);
  void NotePeer(const std::string& peer);
  // Places are where the instances listen, as seen from our datacenter.
  std::vector<EndpointNames::Wanted> Places(const std::vector<authz::Instance>& instances) const;
  // null: not known yet, or one that nobody can prove
  std::shared_ptr<const authz::ServiceId> IdentityToProve() const;

  net::Loop& loop_;
  log::Log& log_;
  config::UpstreamSettings settings_;
  const Target target_;
  net::milliseconds connect_timeout_;
  net::milliseconds idle_timeout_;
  const std::shared_ptr<data::UpstreamMemory> memory_;
  const OnChange on_change_;
  const std::shared_ptr<data::LastUse> use_ = std::make_shared<data::LastUse>();
  std::optional<Watch> watch_;
  std::optional<Watch> tags_watch_;
  std::optional<Watch> gateways_watch_;
  EndpointNames names_;
  HealthyInstances healthy_;
  TaggedInstances tagged_;
  Absence absence_;
  std::optional<Departures> departures_;  // none: sessions are kept
  std::shared_ptr<const data::Departed> departed_;
  // something is due by time alone: an empty list is believed now, instances without a verdict have
  // had their time, a word that was held back acts
  net::Timer use_again_;
  bool holding_on_ = false;
  std::string trust_domain_;
  std::optional<authz::ServiceId> own_;
  Place place_;
  std::optional<std::vector<authz::Instance>> instances_;  // the agent's last answer
  std::array<std::size_t, data::kNearnesses> listed_{};    // of those that are wanted, by nearness
  std::optional<std::vector<authz::Instance>> gateways_;   // those that are healthy
  bool translated_ = false;  // the agent has put WAN addresses in already
  // of our name in the catalog, where it differs from ours in letter case
  std::string spelling_;
  std::string peer_;  // whose instances a query has answered with
  std::string query_service_;
  std::string query_datacenter_;
  std::shared_ptr<const data::UpstreamRules> rules_;
};

}  // namespace mooring::control
