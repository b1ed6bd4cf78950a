// HeapTrim: gives memory back to the system when connections have ended and no others have come.
//
// The allocator and the loop's Scratch keep what ended connections had, for the next. One worker's;
// its loop's thread.
#pragma once

#include "proxy/net/loop.h"

namespace mooring::data {

class HeapTrim final {
 public:
  explicit HeapTrim(net::Loop& loop);
  void Begin();
  // NoteEnd: a connection has ended.
  void NoteEnd() noexcept { ended_ = true; }

 private:
  void Look();

  net::Loop& loop_;
  net::Timer timer_;
  bool ended_ = false;  // since the last look
  bool due_ = false;
};

}  // namespace mooring::data
