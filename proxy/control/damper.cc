#include "proxy/control/damper.h"

#include <algorithm>

namespace mooring::control {
namespace {

// WaitAfter is how long a change is held back that so many have come before.
net::milliseconds WaitAfter(unsigned changes) {
  net::milliseconds wait{0};
  for (unsigned i = 0; i < changes && wait < Damper::kLongestWait; ++i)
    wait = wait.count() == 0 ? Damper::kFirstWait : wait * 2;
  return std::min(wait, Damper::kLongestWait);
}

}  // namespace

void Damper::Say(Word& word, bool in, net::MonotonicTime now) const {
  if (word.changes > 0 && now - word.changed >= word.wait + kCalm) {
    word.changes = 0;
    word.wait = net::milliseconds(0);
  }
  if (in == word.said) return;
  word.said = in;
  const bool harmless = in && joining_ == Joining::kAtOnce;
  word.wait = harmless ? net::milliseconds(0) : WaitAfter(word.changes++);
  word.changed = now;
}

InstanceKeys Damper::Take(const InstanceKeys& members, net::MonotonicTime now) {
  for (const InstanceKey& member : members) words_.try_emplace(member);
  InstanceKeys in;
  next_.reset();
  pending_ = 0;
  for (auto entry = words_.begin(); entry != words_.end();) {
    Word& word = entry->second;
    const bool member = members.contains(entry->first);
    if (first_) {
      word.said = word.in_force = member;
    } else {
      Say(word, member, now);
    }
    if (const auto due = word.changed + word.wait; now >= due) {
      word.in_force = word.said;
    } else if (word.said != word.in_force) {
      ++pending_;
      next_ = next_ ? std::min(*next_, due) : due;
    }
    if (word.in_force) in.insert(entry->first);
    const bool forgotten = !word.said && !word.in_force && word.changes == 0;
    entry = forgotten ? words_.erase(entry) : std::next(entry);
  }
  first_ = false;
  return in;
}

}  // namespace mooring::control
