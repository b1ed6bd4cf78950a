// EndpointHistory: what one service has met with at one endpoint of an upstream.
//
// Shared by all workers, so that what one of them has met with holds for the others, too. It is
// written when an attempt begins and ends and when a connection ends, never for a message; read by
// anyone. Relaxed atomics, because a reader wants each number, not an order between them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "proxy/data/close_reason.h"
#include "proxy/data/ejection.h"
#include "proxy/data/peak_average.h"
#include "proxy/net/clock.h"

namespace mooring::data {

struct Endpoint;

class EndpointHistory final {
 public:
  void Begun() noexcept {
    attempts_.fetch_add(1, std::memory_order_relaxed);
    in_flight_.fetch_add(1, std::memory_order_relaxed);
  }
  // ProbeBegun is Begun of an attempt that is counted apart.
  void ProbeBegun() noexcept {
    ejection_.ProbeBegun();
    in_flight_.fetch_add(1, std::memory_order_relaxed);
  }
  void Ended() noexcept { in_flight_.fetch_sub(1, std::memory_order_relaxed); }
  // Proven: it was reached and has proven who it is, `took` after the attempt began.
  void Proven(std::chrono::microseconds took, net::MonotonicTime now) noexcept {
    const bool first = connect_time_.exchange(took.count(), std::memory_order_relaxed) < 0;
    average_connect_time_.Add(took, now);
    if (failures_in_a_row_.exchange(0, std::memory_order_relaxed) > 0 || first) NoteTurn(now);
  }
  // Failed returns how many have failed in a row. `news`: this one is one of them.
  std::int64_t Failed(bool news, net::MonotonicTime now) noexcept {
    failures_.fetch_add(1, std::memory_order_relaxed);
    if (!news) return failures_in_a_row();
    const std::int64_t before = failures_in_a_row_.fetch_add(1, std::memory_order_relaxed);
    if (before == 0) NoteTurn(now);
    return before + 1;
  }

  // FailedFor says why, and when, of the failure that was told last.
  void FailedFor(CloseReason reason, net::MonotonicTime now) noexcept {
    failed_at_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
    failed_for_.store(reason, std::memory_order_relaxed);
  }

  // ClaimProbe is true for one caller in each `every`. To be called by any worker.
  bool ClaimProbe(net::MonotonicTime now, net::milliseconds every) noexcept {
    net::MonotonicTime::rep last = probed_at_.load(std::memory_order_relaxed);
    return now - net::MonotonicTime(net::MonotonicTime::duration(last)) >= every &&
           probed_at_.compare_exchange_strong(last, now.time_since_epoch().count(),
                                              std::memory_order_relaxed);
  }

  // attempts have begun, and so many of them have failed, since it came to the list
  std::int64_t attempts() const { return attempts_.load(std::memory_order_relaxed); }
  std::int64_t failures() const { return failures_.load(std::memory_order_relaxed); }

  // in_flight is how many connections have it now, attempts included.
  std::int64_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }
  std::int64_t failures_in_a_row() const {
    return failures_in_a_row_.load(std::memory_order_relaxed);
  }
  // failed_for and failed_at are of the last failure; kDone: there was none
  CloseReason failed_for() const { return failed_for_.load(std::memory_order_relaxed); }
  net::MonotonicTime failed_at() const {
    return net::MonotonicTime(
        net::MonotonicTime::duration(failed_at_.load(std::memory_order_relaxed)));
  }
  // turned_at is when attempts began to fail, or began to be good again
  net::MonotonicTime turned_at() const {
    return net::MonotonicTime(
        net::MonotonicTime::duration(turned_at_.load(std::memory_order_relaxed)));
  }
  Ejection& ejection() { return ejection_; }
  const Ejection& ejection() const { return ejection_; }
  // average_connect_time leans to the slow ones, and fades
  const PeakAverage& average_connect_time() const { return average_connect_time_; }
  // connect_time is what the last attempt that was good took, TCP and TLS together; absent: there
  // was none.
  std::optional<std::chrono::microseconds> connect_time() const {
    const std::int64_t took = connect_time_.load(std::memory_order_relaxed);
    return took < 0 ? std::nullopt : std::optional(std::chrono::microseconds(took));
  }

 private:
  void NoteTurn(net::MonotonicTime now) noexcept {
    turned_at_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
  }

  std::atomic<std::int64_t> attempts_{0};
  std::atomic<std::int64_t> failures_{0};
  std::atomic<std::int64_t> in_flight_{0};
  std::atomic<std::int64_t> failures_in_a_row_{0};
  std::atomic<CloseReason> failed_for_{CloseReason::kDone};
  std::atomic<net::MonotonicTime::rep> failed_at_{0};
  std::atomic<net::MonotonicTime::rep> turned_at_{0};
  std::atomic<net::MonotonicTime::rep> probed_at_{0};
  std::atomic<std::int64_t> connect_time_{-1};  // microseconds; negative: none
  PeakAverage average_connect_time_;
  Ejection ejection_;
};

// EndpointState: kFailing, the last attempt that has ended has failed; kEjected, it is out of
// service; kProbation, its time out is over, and it waits for the attempt that proves it.
enum class EndpointState { kUnused, kOk, kFailing, kEjected, kProbation };
EndpointState StateOf(const EndpointHistory& history, net::MonotonicTime now);
const char* EndpointStateName(EndpointState state);
// InStateSince is since when it is in that state; not of kUnused.
net::MonotonicTime InStateSince(const EndpointHistory& history, EndpointState state);

// Histories gives the endpoints of one upstream their histories: an endpoint that stays on the list
// keeps its own, one that leaves it is forgotten, and begins anew when it comes back. The control
// thread's.
class Histories final {
 public:
  // Attach makes `endpoints` the list. Those with one address, node and instance have one history.
  void Attach(std::vector<Endpoint>* endpoints);

 private:
  using Key = std::tuple<std::string, std::string, std::string>;  // address, node, instance
  std::map<Key, std::shared_ptr<EndpointHistory>> known_;
};

}  // namespace mooring::data
