// Connection: one proxied connection from accept to its CloseReason, as the worker sees it.
//
// Inbound and Outbound are the two kinds. A connection is on its worker's list all its life; when it is
// over it says so once (Worker::Retire), and is destroyed after the event under way.
#pragma once

#include <list>
#include <memory>

#include "proxy/data/close_reason.h"
#include "proxy/data/review.h"

namespace mooring::data {

class Connection {
 public:
  virtual ~Connection() = default;
  // Cut ends it now, by a reset on both legs.
  virtual void Cut(CloseReason reason) = 0;
  // OnSnapshot: the worker has a new snapshot. The connection may be waiting for something in it, and `review`
  // says whether it may still be.
  virtual void OnSnapshot(Review& review) = 0;
  // OnSweep comes every net::kLivenessCheck: the moment to look for a peer that has died.
  virtual void OnSweep() = 0;

 private:
  friend class Worker;
  std::list<std::unique_ptr<Connection>>::iterator position_;
  bool retired_ = false;
};

}  // namespace mooring::data
