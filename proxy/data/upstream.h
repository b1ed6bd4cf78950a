// Upstream: the endpoints behind one listener, as one service's host on one worker goes about them.
//
// Workers share what a snapshot has: the rules, and in them each endpoint with its history. Each
// host owns an Upstream of its own with the balancer in it: whose turn it is there is no other
// host's matter. It lives as long as its listener is in the snapshots, or a connection made through
// it. Its worker's loop thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "proxy/data/load_balancer.h"
#include "proxy/data/outliers.h"
#include "proxy/data/preference.h"
#include "proxy/data/random.h"
#include "proxy/data/snapshot.h"

namespace mooring::data {

// Lease is an endpoint in use: by an attempt, then by the connection that came of it, or by a
// probe. Its history counts it until it is destroyed.
class Lease final {
 public:
  enum class For { kConnection, kProbe };

  Lease(Endpoint endpoint, std::uint64_t list, For what = For::kConnection)
      : endpoint_(std::move(endpoint)), list_(list) {
    if (what == For::kProbe) {
      endpoint_.history->ProbeBegun();
    } else {
      endpoint_.history->Begun();
    }
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
  // Observer hears which endpoints are ejected and which are back, of those that were reported
  // here.
  class Observer {
   public:
    virtual void OnEjected(const UpstreamRules& rules, const Endpoint& endpoint) noexcept = 0;
    virtual void OnBack(const UpstreamRules& rules, const Endpoint& endpoint) noexcept = 0;

   protected:
    ~Observer() = default;
  };

  // The balancer is one by the rules (balancing.h): it is replaced when they ask for another.
  // `seed` is for what is done by chance. The observer, which may be null, must outlive this.
  Upstream(std::unique_ptr<LoadBalancer> balancer, std::shared_ptr<const UpstreamRules> rules,
           std::uint64_t seed = 0, Observer* observer = nullptr)
      : balancer_(std::move(balancer)),
        balance_(rules->balance),
        rules_(std::move(rules)),
        random_(seed),
        observer_(observer) {
    balancer_->Use(rules_->endpoints);
  }
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;

  // Use makes `rules` those in force. It takes no memory.
  void Use(std::shared_ptr<const UpstreamRules> rules) noexcept;
  const std::shared_ptr<const UpstreamRules>& rules() const { return rules_; }

  // Pick leases the endpoint to try next; it makes `lease` empty if this search has been given all
  // that it may have. No search is given one twice. The near ones go first, and ejected ones last
  // of all (Choice::last_resort), or if there are no others.
  void Pick(Choice& choice, net::MonotonicTime now, std::optional<Lease>* lease);
  // Report says what came of an attempt at a leased endpoint: when it began, when it was proven or
  // failed. A denial, a shortage of ours and an attempt that we gave up ourselves are not reported.
  // Why it failed has been noted in the history before.
  void Report(const Lease& lease, LoadBalancer::Outcome outcome, net::MonotonicTime began,
              net::MonotonicTime now) noexcept;
  // DueProbe leases an ejected endpoint whose time is over, for one attempt that no client waits
  // for: at most one a second and endpoint, of all workers. Empty: none is due.
  std::optional<Lease> DueProbe(net::MonotonicTime now);
  // DueRegularly leases an endpoint whose UpstreamRules::probe_interval is over, for such an
  // attempt: once in that time, of all workers. Empty: none is due.
  std::optional<Lease> DueRegularly(net::MonotonicTime now);
  // ReportProbe is Report for what these two gave. It is counted apart.
  void ReportProbe(const Lease& lease, LoadBalancer::Outcome outcome, net::MonotonicTime began,
                   net::MonotonicTime now) noexcept;
  // ToProve is whom a leased endpoint must prove to be, and the name to ask for it by: those of now
  // while it is in the list, else those that it was leased with. Null: nobody could.
  struct Proof {
    std::shared_ptr<const authz::ServiceId> identity;
    std::string server_name;
  };
  Proof ToProve(const Lease& lease) const;

 private:
  void Follow();  // the rules' balancer, and who is out
  void SayBack(const Lease& lease) noexcept;

  std::unique_ptr<LoadBalancer> balancer_;
  Balance balance_;  // that the balancer is for
  std::shared_ptr<const UpstreamRules> rules_;
  Random random_;
  Observer* const observer_;
  std::uint64_t list_ = 0;  // which of the lists it is
  // Of the list, as of the outliers' version; absent: to be looked at.
  std::optional<std::uint64_t> seen_;
  Preference preference_;
  std::vector<std::size_t> out_;  // by index
};

}  // namespace mooring::data
