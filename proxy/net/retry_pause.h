// RetryPause: how long to wait before the agent, a name server or the kernel's ports are asked
// again after a failure. The one place where that is decided; what keeps a healthy loop from
// spinning (control/allowance.h, net/listener.h) is another thing.
//
// After a failure it is a bound, less up to half of it. The bound doubles with each further failure
// in a row, and is `first` at first and `most` at last; who asks names both. A success begins anew.
// What is asked regularly waits for its interval, less up to a tenth of it. All of it is random,
// because those who fail, or begin, at one moment must not come back at one.
//
// Pure: the seed and the time are arguments. It has no timer and knows nobody; who waits has both.
// Each object is one thread's.
#pragma once

#include <cstdint>
#include <random>

#include "proxy/net/clock.h"

namespace mooring::net {

class RetryPause final {
 public:
  struct Bounds {
    milliseconds first;
    milliseconds most;  // at least `first`
  };

  explicit RetryPause(std::uint_fast32_t seed = std::random_device{}()) : random_(seed) {}

  // Failed notes a failure, and returns the pause until the next try.
  milliseconds Failed(Bounds bounds, MonotonicTime now);
  void Succeeded();
  unsigned failures() const { return failures_; }  // in a row
  // Due: the last pause is over, or there was none. For who is called now and then and has no timer
  // of its own.
  bool Due(MonotonicTime now) const { return now >= due_; }

  // Regular is the pause until the next of many questions that all go well.
  milliseconds Regular(milliseconds interval);
  // AnyPart is for the first of them: those that begin together come in turn from then on.
  milliseconds AnyPart(milliseconds interval);

  // The same for who counts failures of many things. `random`: from 0, which takes nothing off,
  // to 1.
  static milliseconds AfterFailures(unsigned in_a_row, Bounds bounds, double random);
  static milliseconds Regular(milliseconds interval, double random);

 private:
  double Random() { return std::uniform_real_distribution<double>()(random_); }

  std::minstd_rand random_;
  unsigned failures_ = 0;
  MonotonicTime due_{};
};

}  // namespace mooring::net
