// Attempts: the time of one search, how its attempts share it, and what the search says when it has
// found nobody.
//
// One silent endpoint may not eat all of the time while others are left. Pure; the time is an
// argument.
#pragma once

#include <cstddef>

#include "proxy/data/close_reason.h"
#include "proxy/net/loop.h"

namespace mooring::data {

class Attempts final {
 public:
  explicit Attempts(net::MonotonicTime give_up) : give_up_(give_up) {}

  // Left is the time until the search ends: 0 or less when it is over.
  net::milliseconds Left(net::MonotonicTime now) const;
  // Begin counts an attempt.
  void Begin() { ++begun_; }
  // Share is how long the attempt that was begun last may take from `now` on, where the list has so
  // many endpoints.
  net::milliseconds Share(net::MonotonicTime now, std::size_t endpoints) const;
  // Failed notes why the attempt failed.
  void Failed(CloseReason reason) { last_ = reason; }
  // Verdict is the reason of a search without success. `exhausted`: there is no endpoint left that
  // it has not tried.
  CloseReason Verdict(bool exhausted) const;

  std::size_t begun() const { return begun_; }

 private:
  net::MonotonicTime give_up_;
  std::size_t begun_ = 0;
  CloseReason last_ = CloseReason::kNoEndpoint;
};

}  // namespace mooring::data
