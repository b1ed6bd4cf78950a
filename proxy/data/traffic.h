// Traffic: who talks to whom, as one service of the process has seen it: one Flow for each pair of
// services and direction.
//
// Shared by the service's hosts on all workers and read by the control thread. A connection looks
// its flow up once, when it is known who its peer is, and then writes numbers without a lock.
// Nobody walks connections to count them.
//
// Bounded: beyond kMostFlows of a direction what is new counts as that of `other`. A flow that has
// had no connection for kIdle is forgotten, which Prometheus sees as the end of its series.
#pragma once

#include <array>
#include <atomic>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "proxy/data/admission.h"
#include "proxy/data/close_reason.h"
#include "proxy/data/histogram.h"
#include "proxy/net/clock.h"
#include "tls/session.h"

namespace mooring::data {

// Total is a number that several threads add to.
class Total final {
 public:
  void Add(std::int64_t n = 1) noexcept { value_.fetch_add(n, std::memory_order_relaxed); }
  std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

// FlowKey: inbound the source is the caller, outbound it is us. Names as they were proven, or as
// the upstream is called; nothing of them is escaped.
struct FlowKey {
  ListenerKind kind = ListenerKind::kPublic;
  std::string source;
  std::string destination;
  std::string datacenter;  // of the destination; empty: not known

  auto operator<=>(const FlowKey&) const = default;
};

// Flow is what has passed between two services. Every connection of the direction is counted in one
// flow, once: those of a caller who has proven nothing in that of `unproven`.
struct Flow {
  explicit Flow(FlowKey who) : key(std::move(who)) {}

  const FlowKey key;
  Total opened;
  Total open;
  std::array<Total, kCloseReasons> closed;  // by reason
  Total bytes_in;                           // plaintext, from the client
  Total bytes_out;                          // plaintext, to the client
  Total allowed;                            // inbound: by intentions, default included
  Total denied;
  Total unreached;  // outbound: searches that have dialled instances, and reached none
  // Of those that are open: bytes read and not yet taken by the other side, as of the last look.
  Total kept_in;   // from the client
  Total kept_out;  // to the client
  // The time that each took: TCP to the app or the instance that was used; the TLS handshake; from
  // the accept to the first byte of the payload, either way; the whole life.
  Histogram connect{kMoments};
  Histogram handshake{kMoments};
  Histogram first_byte{kMoments};
  Histogram lifetime{kLives};
  // Estimates: a request is what the client says after the server has spoken, its answer begins
  // with the server's next byte. True where one waits for the other.
  Total requests;
  Histogram answer{kMoments};

 private:
  friend class Traffic;  // what follows is Traffic's, with its lock
  bool counted_ = true;  // towards kMostFlows: all but that of `other`
  net::MonotonicTime quiet_since_{};
};

class Traffic final {
 public:
  static constexpr std::size_t kMostFlows = 256;  // of a direction
  static constexpr std::chrono::minutes kIdle{10};
  static constexpr char kOther[] = "other";
  static constexpr char kUnproven[] = "unproven";

  Traffic() = default;
  Traffic(const Traffic&) = delete;
  Traffic& operator=(const Traffic&) = delete;

  // Enter counts a connection that opens, and gives its flow, which lives as long as it is held.
  // Leave counts its end. Both on any thread; Enter may throw std::bad_alloc and has then counted
  // nothing.
  std::shared_ptr<Flow> Enter(FlowKey key, net::MonotonicTime now);
  void Leave(Flow& flow, CloseReason reason, net::MonotonicTime now) noexcept;

  // Handshake counts one that is over, by what it has settled; `facts` of a failed one are empty.
  // What there is no memory for is left out.
  struct HandshakeKind {
    ListenerKind kind = ListenerKind::kPublic;
    bool done = false;
    std::string version, group;
    bool resumed = false;
    auto operator<=>(const HandshakeKind&) const = default;
  };
  void NoteHandshake(ListenerKind kind, bool done, const tls::Facts& facts) noexcept;

  // Flows are those of now, in order; those that have been idle for too long are forgotten first.
  std::vector<std::shared_ptr<const Flow>> Flows(net::MonotonicTime now);
  std::map<HandshakeKind, std::int64_t> Handshakes() const;

 private:
  std::size_t& Known(ListenerKind kind) { return known_[kind == ListenerKind::kPublic ? 0 : 1]; }
  void ForgetIdle(net::MonotonicTime now) noexcept;

  mutable std::mutex mutex_;
  std::map<FlowKey, std::shared_ptr<Flow>> flows_;
  std::array<std::size_t, 2> known_{};  // flows of each direction, without `other`
  std::map<HandshakeKind, std::int64_t> handshakes_;
};

}  // namespace mooring::data
