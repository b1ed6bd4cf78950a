// Exchanges: when the payload of one connection changes its direction, for those who count it.
//
// What the client says after the server has spoken is taken for a request, the server's next byte
// for the beginning of its answer. That is an estimate: true where one waits for the other, as in
// HTTP/1.1, Redis or PostgreSQL without pipelining. Its loop's thread; no call allocates.
#pragma once

#include <memory>
#include <utility>

#include "proxy/data/traffic.h"
#include "proxy/net/clock.h"

namespace mooring::data {

class Exchanges final {
 public:
  // Count counts in `flow` from now on; the connection has lived since `begun`.
  void Count(std::shared_ptr<Flow> flow, net::MonotonicTime begun) noexcept {
    flow_ = std::move(flow);
    begun_ = begun;
  }

  // Turned: bytes came at `now`, the first of all, or the last ones, at `last`, came from the other
  // side.
  void Turned(bool from_client, bool first, net::MonotonicTime last,
              net::MonotonicTime now) noexcept {
    if (!flow_) return;
    if (first) flow_->first_byte.Add(Between(begun_, now));
    if (from_client) {
      flow_->requests.Add();
    } else if (!first) {
      flow_->answer.Add(Between(last, now));
    }
  }

 private:
  static microseconds Between(net::MonotonicTime from, net::MonotonicTime to) {
    return std::chrono::duration_cast<microseconds>(to - from);
  }

  std::shared_ptr<Flow> flow_;
  net::MonotonicTime begun_{};
};

}  // namespace mooring::data
