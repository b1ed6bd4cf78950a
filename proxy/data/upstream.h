// Upstream: the endpoints behind one listener, as one service's host on one worker goes about them.
//
// Workers share what a snapshot has: the rules, and in them each endpoint with its history. Each
// host owns an Upstream of its own with the balancer in it: whose turn it is there is no other
// host's matter. It lives as long as its listener is in the snapshots, or a connection made through
// it. Its worker's loop thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "proxy/data/load_balancer.h"
#include "proxy/data/snapshot.h"

namespace mooring::data {

// Lease is an endpoint in use: by an attempt, then by the connection that came of it. Its history
// counts it until it is destroyed.
class Lease final {
 public:
  Lease(Endpoint endpoint, std::uint64_t list) : endpoint_(std::move(endpoint)), list_(list) {
    endpoint_.history->Begun();
  }
  ~Lease() {
    if (endpoint_.history) endpoint_.history->Ended();
  }
  Lease(Lease&&) noexcept = default;  // the one that was is empty
  Lease& operator=(Lease&&) = delete;
  const Endpoint& endpoint() const { return endpoint_; }

 private:
  friend class Upstream;
  Endpoint endpoint_;
  std::uint64_t list_;  // that it was picked from
};

class Upstream final {
 public:
  Upstream(std::unique_ptr<LoadBalancer> balancer, std::shared_ptr<const UpstreamRules> rules)
      : balancer_(std::move(balancer)), rules_(std::move(rules)) {
    balancer_->Use(rules_->endpoints);
  }
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;

  // Use makes `rules` those in force. It takes no memory.
  void Use(std::shared_ptr<const UpstreamRules> rules) noexcept {
    if (rules_ == rules) return;
    balancer_->Use(rules->endpoints);
    rules_ = std::move(rules);
    ++list_;
  }
  const std::shared_ptr<const UpstreamRules>& rules() const { return rules_; }

  // Pick leases the endpoint to try next; it makes `lease` empty if this search has been given all
  // that it may have. No search is given one twice.
  void Pick(Choice& choice, net::MonotonicTime, std::optional<Lease>* lease) {
    lease->reset();
    if (const Endpoint* endpoint = balancer_->Pick(choice)) lease->emplace(*endpoint, list_);
  }
  // Report says what came of an attempt at a leased endpoint: when it began, when it was proven or
  // failed. A denial, a shortage of ours and an attempt that we gave up ourselves are not reported.
  void Report(const Lease& lease, LoadBalancer::Outcome outcome, net::MonotonicTime began,
              net::MonotonicTime now) noexcept {
    balancer_->Report(lease.endpoint(), outcome,
                      std::chrono::duration_cast<std::chrono::microseconds>(now - began));
  }
  // DueProbe leases an ejected endpoint whose time is over, for one attempt that no client waits
  // for: at most one a second and endpoint, of all workers. Empty: none is due.
  std::optional<Lease> DueProbe(net::MonotonicTime) { return std::nullopt; }
  // ReportProbe is Report for what DueProbe gave. It is counted apart.
  void ReportProbe(const Lease&, LoadBalancer::Outcome, net::MonotonicTime,
                   net::MonotonicTime) noexcept {}
  // IdentityOf is whom a leased endpoint must prove to be by the rules of now; null: nobody could.
  std::shared_ptr<const authz::ServiceId> IdentityOf(const Lease& lease) const;

 private:
  const std::unique_ptr<LoadBalancer> balancer_;
  std::shared_ptr<const UpstreamRules> rules_;
  std::uint64_t list_ = 0;  // which of the lists it is
};

}  // namespace mooring::data
