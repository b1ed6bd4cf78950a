// Attempts: the time of one search, how many attempts it may make, and what it says when it has
// found nobody.
//
// Pure; the time is an argument.
#pragma once

#include <cstddef>

#include "proxy/data/close_reason.h"
#include "proxy/net/loop.h"

namespace mooring::data {

class Attempts final {
 public:
  // The search ends at `give_up`, and makes `most` attempts.
  Attempts(net::MonotonicTime give_up, std::size_t most) : give_up_(give_up), most_(most) {}

  // Left is the time until the search ends: 0 or less when it is over.
  net::milliseconds Left(net::MonotonicTime now) const;
  // MayBegin says whether one more is allowed.
  bool MayBegin() const { return begun_ < most_; }
  // Begin counts an attempt.
  void Begin() { ++begun_; }
  // Share is how long the attempt that was begun last, at `began`, may take where no other runs
  // beside it: the list has so many endpoints, and one that is silent may not eat all of the time.
  net::milliseconds Share(net::MonotonicTime began, std::size_t endpoints) const;
  // Failed notes why an attempt failed. All instances of a service go by the same intentions: where
  // one denies us, one other is asked at most, and `another`, that began later, is under way.
  void Failed(CloseReason reason, bool another = false);
  // IsDenied: two of them have said so, and no third is to be asked or awaited.
  bool IsDenied() const { return denials_ > 1; }
  // Verdict is the reason of a search without success. `exhausted`: there is no endpoint left that
  // it has not tried.
  CloseReason Verdict(bool exhausted) const;

  std::size_t begun() const { return begun_; }

 private:
  net::MonotonicTime give_up_;
  std::size_t most_;
  std::size_t begun_ = 0;
  int denials_ = 0;
  CloseReason last_ = CloseReason::kNoEndpoint;
};

}  // namespace mooring::data
