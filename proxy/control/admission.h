// Admission: whether the agent lets this host open connections (limits.http_max_conns_per_client),
// judged by evidence alone: a new connection answered by 429, or new ones ended without a word
// while old ones live.
//
// While connections are turned away a new one may be tried once in a while only, by one of us at a
// time. Knows neither sockets nor requests; owned by AgentConnections. Loop thread only.
#pragma once

#include "proxy/http/client.h"
#include "proxy/net/loop.h"
#include "proxy/net/retry_pause.h"

namespace mooring::control {

class Admission final {
 public:
  // What is said to the operator while it is Full.
  static constexpr char kFull[] =
      "the agent admits no more connections from this host (limits.http_max_conns_per_client)";

  Admission() = default;
  explicit Admission(std::uint_fast32_t seed) : pause_(seed) {}

  // NoteTurnedAway: a new connection ended in `trouble` (kUnanswered or kTooMany). `others_live`:
  // at that moment there was another one of ours that had been answered before.
  void NoteTurnedAway(http::Client::Trouble trouble, bool others_live, net::MonotonicTime now);
  // NoteAdmitted: a new connection was answered.
  void NoteAdmitted();

  // MayOpen: a new connection may be tried. `trying`: so many are being tried.
  bool MayOpen(net::MonotonicTime now, unsigned trying) const {
    return pause_.failures() == 0 || (pause_.Due(now) && trying == 0);
  }
  bool TurnedAway() const { return pause_.failures() > 0; }
  bool Full() const { return full_; }  // there is evidence that we are one too many

 private:
  net::RetryPause pause_;
  bool full_ = false;
};

}  // namespace mooring::control
