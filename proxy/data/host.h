// Host: what a connection needs of whoever serves it. That is a ServiceHost, or a test.
//
// Everything here is the loop's thread's. A connection sees no listener, no admission and no other
// connection.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "proxy/data/admission.h"
#include "proxy/data/close_reason.h"
#include "proxy/data/record.h"
#include "proxy/data/report.h"
#include "proxy/data/snapshot.h"
#include "proxy/data/stats.h"
#include "proxy/data/traffic.h"
#include "proxy/data/upstream.h"
#include "proxy/log/log.h"
#include "proxy/net/loop.h"
#include "proxy/net/memory_meter.h"

namespace mooring::data {

class Connection;
class Probes;

class Host {
 public:
  virtual net::Loop& loop() = 0;
  virtual const std::shared_ptr<const Snapshot>& snapshot() const = 0;  // null: none yet
  // UpstreamOf is what this host knows of a listener's endpoints; null if the snapshot does not
  // have it.
  virtual std::shared_ptr<Upstream> UpstreamOf(const std::string& listener) = 0;
  virtual log::Log& log() = 0;
  virtual net::MemoryMeter& buffers() = 0;
  virtual DirectionStats& counters(ListenerKind kind) = 0;
  virtual Traffic& traffic() = 0;
  virtual Probes& probes() = 0;
  // A caller is unproven from its accept on. HandshakeHolds says what its handshake has collected
  // beyond kHandshakeCost, in bytes; where that is too much, the caller with most is ended (Cut),
  // perhaps this one. Proven is the end of that.
  virtual void HandshakeHolds(Connection* connection, std::size_t bytes) = 0;
  virtual void Proven(Connection* connection) noexcept = 0;
  // Retire counts the end that the connection's record tells and destroys the connection after this
  // event. Once per connection. It takes no memory.
  virtual void Retire(Connection* connection) noexcept = 0;
  // NoteLife reports, where that is asked for, that the bytes of a connection begin to pass, or
  // still do. Its end is Retire's.
  virtual void NoteLife(Report::What what, Record* record) noexcept = 0;
  // StrangerLog writes a line that a stranger can cause, if the ration of its reason allows. `who`
  // has caused it: the SPIFFE ID where it is proven, else the IP address; outbound the endpoint, or
  // the upstream.
  virtual void StrangerLog(CloseReason reason, log::Level level, log::Literal message,
                           std::string_view who, log::Fields fields) = 0;

  // Escaped tells what a connection has to end for, inside the handler of what escaped from it, and
  // logs it.
  CloseReason Escaped(log::Literal message) noexcept;
  // EnterFlow finds out, once, in which flow a connection counts: that of `peer`, by its service's
  // name, whose datacenter may be empty. Where there is no memory for it, it counts in none.
  void EnterFlow(Record* record, std::string_view peer, std::string_view datacenter) noexcept;
  // EnterFlowOf is the same for a connection to an upstream of which no instance has proven who it
  // is.
  void EnterFlowOf(Record* record, const std::string& listener) noexcept;
  // LogShortage says that a leg of a connection could not be had or kept; `whose` is its peer or
  // upstream.
  void LogShortage(log::Literal message, const std::string& whose, int error);

 protected:
  ~Host() = default;
};

}  // namespace mooring::data
