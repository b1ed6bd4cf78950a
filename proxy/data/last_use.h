// LastUse: when something was in use last. Written by every worker, read by the control thread: a
// relaxed atomic, because nobody needs more than about when.
#pragma once

#include <atomic>

#include "proxy/net/loop.h"

namespace mooring::data {

class LastUse final {
 public:
  void Note(net::MonotonicTime now) {
    ticks_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
  }
  // at is MonotonicTime{} if there has been no use.
  net::MonotonicTime at() const {
    return net::MonotonicTime(net::MonotonicTime::duration(ticks_.load(std::memory_order_relaxed)));
  }

 private:
  std::atomic<net::MonotonicTime::rep> ticks_{0};
};

}  // namespace mooring::data
