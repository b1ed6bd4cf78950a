// Unproven: the callers of one worker that have not proven yet who they are, and who of them ends
// when their room is wanted.
//
// They are counted by number and by what their handshakes hold, against the limits of the process
// (Admission). One worker's, for all services that it works for; its loop's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>

#include "proxy/data/admission.h"
#include "proxy/data/connection.h"
#include "proxy/net/loop.h"

namespace mooring::data {

class Unproven final {
 public:
  // Ended says how many were ended, 0 if none.
  using Ended = std::int64_t;

  Unproven(net::Loop& loop, Admission& admission) : loop_(loop), admission_(admission) {}

  void Enter(Connection* connection);  // throws std::bad_alloc, and has done nothing then
  // Leave is for a caller that has proven who it is, or has ended. Harmless for any other
  // connection.
  void Leave(Connection* connection) noexcept;
  // Holds says what a caller's handshake has collected beyond kHandshakeCost, in bytes. Where all
  // of them hold too much by that, the one with most is ended, perhaps this one.
  Ended Holds(Connection* connection, std::size_t bytes);

  // MakeRoom ends those that have had their time to prove themselves and did not, the oldest first:
  // silent ones soon, the others after a second. So a flood of strangers comes round quickly, and a
  // caller that goes on with its handshake is not pushed out by those behind it. 0: there is none
  // that has had its time.
  Ended MakeRoom();

 private:
  net::Loop& loop_;
  Admission& admission_;
  std::list<Connection*> callers_;  // the oldest first
};

}  // namespace mooring::data
