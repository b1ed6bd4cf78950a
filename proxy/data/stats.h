// Stats: what one worker has seen of one service. Written by its worker alone, read by anyone:
// relaxed atomics, because a reader wants each number, not an order between them.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <string>

#include "proxy/data/close_reason.h"

namespace mooring::data {

// Count is a number with one writer.
class Count final {
 public:
  void Add(std::int64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

// ReasonCounts has one Count for each reason that there is.
class ReasonCounts final {
 public:
  Count& operator[](CloseReason reason) { return counts_[static_cast<std::size_t>(reason)]; }
  const Count& operator[](CloseReason reason) const {
    return counts_[static_cast<std::size_t>(reason)];
  }

 private:
  std::array<Count, kCloseReasons> counts_;
};

struct DirectionStats {
  Count active;
  Count total;
  Count resumed;  // of them, those whose TLS handshake was an abbreviated one
  ReasonCounts closed;
  ReasonCounts attempts_failed;  // outbound: single endpoints that failed
  Count reached;    // of them, those that the app (inbound) or an instance (outbound) took
  Count bytes_in;   // plaintext, from the client; of live connections as of their last sweep
  Count bytes_out;  // plaintext, to the client
};

struct ServiceStats {
  DirectionStats inbound;
  DirectionStats outbound;
  Count drain_awaits;     // connections whose end a drain waits for
  Count accept_pauses;    // accept failed for lack of descriptors or memory
  Count handshakes_shed;  // unproven callers ended to make room for others
};

}  // namespace mooring::data
