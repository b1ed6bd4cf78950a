// Clock: time as an argument of a test. While it lives, the monotonic clock of its thread stands
// `skipped` ahead of the machine's, so that a timer of an hour is due at once, and no test has to
// sleep for what a deadline does.
//
// It is put under everything that asks the C library for the time, libuv and the standard library
// among them (test_clock.cc). Other threads, and the wall clock, keep the machine's time. One a
// thread at a time, made before the loops that are to see it: time goes back when it ends.
#pragma once

#include <chrono>
#include <functional>

#include "proxy/net/loop.h"

namespace mooring::test {

class Clock final {
 public:
  Clock();
  ~Clock();
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;

  // Skip lets time pass in which nothing happens, and `loop` has the new time. What is due runs
  // when the loop is served next.
  void Skip(net::Loop& loop, std::chrono::milliseconds time);

  // RunUntil serves the loop until `done` holds. Whenever no event is at hand it skips to the next
  // timer; so the test sees every timer in order, at its time, and waits for none. Only for peers
  // on the same loop, or in the kernel: another thread would be left behind. A test in which
  // nothing is due any more, or an hour of this time has passed, fails.
  void RunUntil(net::Loop& loop, const std::function<bool()>& done);
};

}  // namespace mooring::test
