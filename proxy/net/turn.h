// Turn: the scheduling policy of a Loop. It decides how many bytes one turn may move, and who
// stands back when it is full.
//
// A turn is one batch of events from the kernel, up to 256 sockets. The Loop begins it. Whoever
// moves bytes tells the Turn, and asks it before moving more.
//
// The rule: while a turn is full, a heavy stream (Load::kHeavy or more) takes nothing, and any
// other stream takes one record. A stream takes one burst in a turn. So a message that is readable
// when a turn begins waits for that turn at most: kTurnBytes, the burst that filled it, and kRecord
// of each other stream. A message that becomes readable during a turn waits for the rest of that
// turn besides. Where more than 256 sockets are ready, a message's turn is one of the next.
// Handshakes and accepted connections are not counted and come on top.
//
// Where small messages pass, bursts are kReadBurst at most and turns are a fifth as long. That
// costs the bulk streams beside them something, and saves the messages milliseconds.
//
// Pure: time is an argument. One a loop, on its thread.
#pragma once

#include <cstddef>

#include "proxy/net/burst.h"
#include "proxy/net/clock.h"

namespace mooring::net {

inline constexpr std::size_t kTurnBytes = 2 * kLargeBurst;
inline constexpr std::size_t kLightTurnBytes = 4 * kReadBurst;  // where small messages pass
// a loop counts as such for so long after the last of them
inline constexpr milliseconds kLightFor{100};

class Turn final {
 public:
  // Begin starts the next turn, and answers where in the kernel's list of ready sockets to begin.
  //
  // The kernel lists first who became ready first, and serving in that order makes the longest wait
  // shortest. But sockets that stay ready keep their places in it. So each turn that follows a full
  // one begins one place later, and nobody stands back for ever.
  std::size_t Begin(MonotonicTime now) {
    first_ = IsFull(now) ? first_ + 1 : 0;
    moved_ = 0;
    return first_;
  }

  void NoteMoved(std::size_t bytes) { moved_ += bytes; }
  bool IsFull(MonotonicTime now) const {
    return moved_ >= (ServesLight(now) ? kLightTurnBytes : kTurnBytes);
  }

  // NoteLight is for bytes that moved on a connection of small messages. ServesLight: such bytes
  // moved a moment ago.
  void NoteLight(MonotonicTime now) { light_until_ = now + kLightFor; }
  bool ServesLight(MonotonicTime now) const { return now < light_until_; }

 private:
  std::size_t moved_ = 0;
  std::size_t first_ = 0;
  MonotonicTime light_until_{};
};

}  // namespace mooring::net
