#include "proxy/state/disk_thread.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace mooring::state {
namespace {

// Again adds itself once more while it is being done, as the end of a store does that has more to
// save.
struct Again final : DiskThread::Work {
  explicit Again(DiskThread& its_thread) : thread(its_thread) {}
  void Do() override {
    if (++begun == 1) thread.Add(*this);
    // time for who awaits it to be wrong
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ++done;
  }
  DiskThread& thread;
  int begun = 0;
  std::atomic<int> done{0};
};

struct Once final : DiskThread::Work {
  void Do() override { ++done; }
  std::atomic<int> done{0};
};

TEST_CASE(
    "disk thread: what is added again while it is done is done again, and awaited until then") {
  DiskThread thread;
  Again again(thread);
  Once behind;
  thread.Add(again);
  thread.Add(behind);
  thread.Await(again);
  CHECK(again.done == 2);
  thread.Await(behind);
  CHECK(behind.done == 1);
  thread.Add(behind);
  thread.Await(behind);
  CHECK(behind.done == 2);
}

}  // namespace
}  // namespace mooring::state
