// Host: what a connection needs of the worker that it lives on. All of it on that worker's loop thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "proxy/data/close_reason.h"
#include "proxy/data/snapshot.h"
#include "proxy/data/stats.h"
#include "proxy/data/upstream.h"
#include "proxy/log/log.h"
#include "proxy/net/loop.h"
#include "proxy/net/memory_meter.h"

namespace mooring::data {

class Host {
 public:
  virtual net::Loop& loop() = 0;
  // snapshot is the newest; null: none yet.
  virtual const std::shared_ptr<const Snapshot>& snapshot() const = 0;
  // UpstreamOf is what this worker knows of a listener's endpoints; null if the snapshot does not have it.
  virtual std::shared_ptr<Upstream> UpstreamOf(const std::string& listener) = 0;
  virtual net::MemoryMeter& buffers() = 0;
  virtual WorkerStats& mutable_stats() = 0;
  // StrangerLog writes a line that a stranger can cause, if the ration of its reason allows. `who` has caused it: the SPIFFE ID
  // where it is proven, else the IP address; outbound the endpoint, or the upstream.
  virtual void StrangerLog(CloseReason reason, log::Level level, log::Literal message, std::string_view who,
                           log::Fields fields) = 0;

 protected:
  ~Host() = default;
};

}  // namespace mooring::data
