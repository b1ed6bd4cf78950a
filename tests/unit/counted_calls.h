// What a stretch of code asks of the kernel for its sockets: the calls below, replaced for the
// whole test executable.
#pragma once

#include <cstddef>

namespace mooring::test {

struct Calls {
  std::size_t recv = 0;
  std::size_t send = 0;
  std::size_t held_back = 0;  // those sends that the kernel may keep for more to come (MSG_MORE)
  std::size_t epoll_ctl = 0;
};

// CountedCalls adds this thread's calls to `calls` while it lives. One at a time.
class CountedCalls final {
 public:
  explicit CountedCalls(Calls& calls);
  ~CountedCalls();
  CountedCalls(const CountedCalls&) = delete;
  CountedCalls& operator=(const CountedCalls&) = delete;
};

// NoWatches makes every epoll_ctl of the process that asks for a new watch fail with `error` while
// it lives, the first `spared` ones excepted. One at a time.
class NoWatches final {
 public:
  explicit NoWatches(int error, int spared = 0);
  ~NoWatches();
  NoWatches(const NoWatches&) = delete;
  NoWatches& operator=(const NoWatches&) = delete;
};

}  // namespace mooring::test
