// Outliers: which endpoints of an upstream are ejected for their failures, and when they are back.
//
// One for each upstream of a service, shared by its workers; any thread. What it decides stands in
// each endpoint's Ejection, which is read without a lock. The lock here is taken where an endpoint
// has failed too often, or is back: so that of two workers not each ejects what the other thought
// was left. Knows no clock and no source of randomness: those are arguments.
//
// A late answer is no news: what an attempt came to that began before an endpoint's last ejection
// neither counts against it nor brings it back.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>

#include "proxy/data/endpoint_history.h"
#include "proxy/data/random.h"
#include "proxy/data/snapshot.h"
#include "proxy/net/clock.h"

namespace mooring::data {

// InService: searches are given this endpoint, by the rules of now.
bool InService(const UpstreamRules& rules, const Endpoint& endpoint);

class Outliers final {
 public:
  // Attempt is when one began, and when it was proven or failed.
  struct Attempt {
    net::MonotonicTime began;
    net::MonotonicTime ended;
    std::chrono::microseconds Took() const {
      return std::chrono::duration_cast<std::chrono::microseconds>(ended - began);
    }
  };

  // Failed counts a failure in the history. True: this one has ejected the endpoint.
  bool Failed(const UpstreamRules& rules, EndpointHistory& history, const Attempt& attempt,
              Random& random);
  // ProbeFailed ejects once more what is out; in service it counts like any other failure. True:
  // it has ejected.
  bool ProbeFailed(const UpstreamRules& rules, EndpointHistory& history, const Attempt& attempt,
                   Random& random);
  // Proven counts a proof. True: this one has brought the endpoint back.
  bool Proven(EndpointHistory& history, const Attempt& attempt);
  // ProbeProven is the same of a probe.
  bool ProbeProven(EndpointHistory& history, const Attempt& attempt) {
    probes_proven_.fetch_add(1, std::memory_order_relaxed);
    return Proven(history, attempt);
  }

  // version changes with each endpoint that is ejected or back.
  std::uint64_t version() const { return version_.load(std::memory_order_acquire); }
  // Since this upstream is ours, of all endpoints that it has had: ejections, and what probes came
  // to.
  std::int64_t ejections() const { return ejections_.load(std::memory_order_relaxed); }
  std::int64_t probes_proven() const { return probes_proven_.load(std::memory_order_relaxed); }
  std::int64_t probes_failed() const { return probes_failed_.load(std::memory_order_relaxed); }

 private:
  void Eject(const EjectionRules& rules, unsigned step, Ejection& ejection, net::MonotonicTime now,
             Random& random);

  std::mutex changing_;  // held while an endpoint goes out or comes back
  std::atomic<std::uint64_t> version_{0};
  std::atomic<std::int64_t> ejections_{0};
  std::atomic<std::int64_t> probes_proven_{0};
  std::atomic<std::int64_t> probes_failed_{0};
};

}  // namespace mooring::data
