// DiskThread: one thread for all that a process writes, one piece of work at a time, in order. A
// slow disk never holds up a loop, nor a hung name look-up in libuv's pool a save.
//
// Add and Await may be called from any thread.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

namespace mooring::state {

class DiskThread final {
 public:
  // Work is done once for each Add. It is its owner's, who has Awaited it before it goes.
  class Work {
   public:
    virtual ~Work() = default;
    virtual void Do() = 0;  // on the thread; does not throw

   private:
    friend class DiskThread;
    unsigned pending_ = 0;  // Adds that are not done yet; guarded by mutex_
    Work* next_ = nullptr;  // in the queue; guarded by mutex_
  };

  DiskThread();   // throws as net::StartThread does
  ~DiskThread();  // all work has been Awaited
  DiskThread(const DiskThread&) = delete;
  DiskThread& operator=(const DiskThread&) = delete;

  // not while it waits in the queue; while it is being done it may be added again
  void Add(Work& work) noexcept;
  void Await(Work& work);  // until all that was added is done

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable changed_;
  Work* first_ = nullptr;  // guarded by mutex_
  bool ending_ = false;    // guarded by mutex_
  std::thread thread_;
};

}  // namespace mooring::state
