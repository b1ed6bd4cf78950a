// Rounds: visits every element of a list once in each round, a few at a time, so that what is done
// to thousands does not hold up the loop in one piece (9,000 connections at once were 4 to 7 ms in
// which no message moved).
//
// It knows no clock: the owner calls Next every Pause. Elements may join and leave between two
// calls, and inside one as long as nothing is erased before it returns. What joins at the front of
// the list is visited from the next round on. One thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <list>

namespace mooring::data {

template <typename T>
class Rounds final {
 public:
  static constexpr std::size_t kAtOnce = 128;

  explicit Rounds(std::list<T>& list) : list_(list), next_(list.end()) {}

  // Next visits up to kAtOnce elements. True if these were the first of a round.
  template <typename Visit>
  bool Next(Visit visit) {
    const bool first = next_ == list_.end();
    if (first) next_ = list_.begin();
    for (std::size_t i = 0; i < kAtOnce && next_ != list_.end(); ++i) visit(*next_++);
    return first;
  }

  // Restart begins a new round, wherever the one under way stands. AtEnd: there is nothing left in
  // this one.
  void Restart() { next_ = list_.end(); }
  bool AtEnd() const { return next_ == list_.end(); }

  // Pause is how long to wait between two calls so that a round takes `round`.
  template <typename Duration>
  Duration Pause(Duration round) const {
    const std::size_t calls = (list_.size() + kAtOnce - 1) / kAtOnce;
    return round / std::max<std::size_t>(calls, 1);
  }

  // Leaving is to be called before an element is erased.
  void Leaving(typename std::list<T>::iterator element) {
    if (element == next_) ++next_;
  }

 private:
  std::list<T>& list_;
  typename std::list<T>::iterator next_;  // end(): the round is over
};

}  // namespace mooring::data
