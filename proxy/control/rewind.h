// Rewind: whether an answer that may be older than what is in force is the truth by now.
//
// A server that has just started says what it has read of its log so far, until it has a leader and
// has caught up: older CA roots, under which callers of today are strangers; intentions without the
// deny entries that came later. Consul 1.8.7 does so, and says that it knows a leader, for a tenth
// of a second after it has become that leader itself. So such an answer counts once a leader has
// been known for two seconds; if nobody tells whether there is one, after eight. While there is
// none it does not, as in any outage. The index of a cluster that was built anew stays low, and is
// believed then: within the ten seconds that fresh state may take.
//
// Pure but for its memory; time is an argument. Loop thread only.
#pragma once

#include <optional>

#include "proxy/net/clock.h"

namespace mooring::control {

class Rewind final {
 public:
  static constexpr net::milliseconds kSettle{2'000};
  static constexpr net::milliseconds kUntold{8'000};

  enum class Leader { kNone, kKnown, kUntold };

  // Counts is asked of each such answer, at `now`.
  bool Counts(net::MonotonicTime now) {
    if (!since_) since_ = now;
    if (const auto settled = Settled()) return now >= *settled;
    return leader_ == Leader::kUntold && now - *since_ >= kUntold;
  }
  // NoteLeader is what the agent says of its leader.
  void NoteLeader(Leader leader, net::MonotonicTime now) {
    if (leader == Leader::kKnown && leader_ != Leader::kKnown) led_since_ = now;
    leader_ = leader;
  }
  // Settled is when such an answer counts, if the leader stays; nothing: no leader is known.
  std::optional<net::MonotonicTime> Settled() const {
    if (leader_ != Leader::kKnown) return std::nullopt;
    return *led_since_ + kSettle;
  }
  // Over: an answer was taken up.
  void Over() { *this = Rewind(); }

 private:
  Leader leader_ = Leader::kUntold;
  std::optional<net::MonotonicTime> since_;      // the first such answer came
  std::optional<net::MonotonicTime> led_since_;  // set while a leader is known
};

}  // namespace mooring::control
