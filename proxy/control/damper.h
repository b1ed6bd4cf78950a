// Damper: holds back a word that changes again and again.
//
// For each instance by itself, the first change of a word acts at once, however many change
// together. One that follows soon acts only when its word has been the same for a while: 3 s, then
// 6 s, 12 s, up to 15 s. Each change in quick succession makes the next one wait longer; ten quiet
// seconds beyond the last wait, and all is forgotten. A word that is back to what is in force
// before its time was nothing. Pure but for its memory; time is an argument. Loop thread only.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "proxy/net/clock.h"
#include "proxy/net/loop.h"

namespace mooring::control {

// InstanceKey is an instance's node and the ID of its service there.
using InstanceKey = std::pair<std::string, std::string>;
using InstanceKeys = std::set<InstanceKey>;

class Damper final {
 public:
  static constexpr net::milliseconds kFirstWait{3'000};
  static constexpr net::milliseconds kLongestWait{15'000};
  static constexpr net::milliseconds kCalm{10'000};

  // Joining says whether to come in waits as well, or harms nobody: then it acts at once, and makes
  // nothing wait.
  enum class Joining { kWaits, kAtOnce };
  explicit Damper(Joining joining) : joining_(joining) {}

  // Take is who is in at `now`, if the word is that `members` are. The first is believed at once.
  InstanceKeys Take(const InstanceKeys& members, net::MonotonicTime now);
  // Next is when a word that is held back now acts, if it stays; nothing is held back: none.
  std::optional<net::MonotonicTime> Next() const { return next_; }
  // Pending is how many instances have a word that is held back.
  std::size_t pending() const { return pending_; }

 private:
  struct Word {
    bool said = false;      // the last word
    bool in_force = false;  // what holds
    unsigned changes = 0;   // of the word, in quick succession
    net::milliseconds wait{0};
    net::MonotonicTime changed{};
  };
  void Say(Word& word, bool in, net::MonotonicTime now) const;

  const Joining joining_;
  bool first_ = true;
  std::map<InstanceKey, Word> words_;
  std::optional<net::MonotonicTime> next_;
  std::size_t pending_ = 0;
};

}  // namespace mooring::control
