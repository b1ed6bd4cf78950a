// Connection: one proxied connection from accept to its CloseReason, as its service's host sees it.
//
// Inbound and Outbound are the two kinds. A connection is on its host's list all its life; when it
// is over it says so once (Host::Retire), and is destroyed after the event under way. It is the
// Keeper of its sockets and timers: what escapes from one of their callbacks, wherever that stood,
// ends this connection and no other.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <utility>

#include "proxy/data/admission.h"
#include "proxy/data/caps.h"
#include "proxy/data/close_reason.h"
#include "proxy/data/judge.h"
#include "proxy/data/record.h"
#include "proxy/net/loop.h"

namespace mooring::data {

struct ConnectionView;
class Review;
class Tap;

class Connection : public net::Keeper {
 public:
  Connection(net::Loop& loop, ListenerKind kind) {
    loop.Adopt(this);
    record_.kind = kind;
    record_.begun = loop.now();
  }
  virtual ~Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ListenerKind kind() const { return record_.kind; }
  const Record& record() const { return record_; }
  virtual void Begin() = 0;  // may end the connection at once
  // Cut ends it now, by a reset on both legs, at every stage of its life. It takes no memory.
  virtual void Cut(CloseReason reason) noexcept = 0;
  // OnSnapshot: the service has a new snapshot, since `changed`. The connection may be waiting for
  // something in it, and `judge` says whether it may still be. It comes before the next event of
  // the connection's sockets (review.h).
  virtual void OnSnapshot(Judge& judge, net::MonotonicTime changed) = 0;
  // OnSweep comes every net::kLivenessCheck: the moment to look for a peer that has died.
  virtual void OnSweep() = 0;
  // OwesAnswer: the client has sent something that has not been looked at.
  virtual bool OwesAnswer() const = 0;
  // IsAwaited: a drain that begins now waits for its end. Not for a caller who has proven nothing
  // yet, or is being refused.
  virtual bool IsAwaited() const = 0;
  // EndIfQuiet ends it cleanly, by close_notify and FIN, if it is between exchanges and has been
  // silent for `quiet`; a handshake that has been silent so long ends, too. True: nothing of it is
  // awaited any more, even if the peers have not closed yet.
  virtual bool EndIfQuiet(net::milliseconds quiet) = 0;
  // Show copies what is known of it now. Feed brings what has moved to the counters; OnSweep does,
  // too.
  void Show(ConnectionView* view);
  virtual void Feed() noexcept {}
  // Attach has the payload copied from now on, if any passes. It ends with the connection.
  virtual bool Attach(const std::shared_ptr<Tap>&) { return false; }

  bool retired() const { return retired_; }

 protected:
  // BeforeEvent has the newest snapshot looked at, if that has not been done yet. False: it is
  // over, by that or before.
  bool BeforeEvent() noexcept final;
  // NoteRetired is for whoever retires it. False: it was already.
  bool NoteRetired() noexcept { return !std::exchange(retired_, true); }
  // ShowNow adds what the record does not have: state, services, and what moves.
  virtual void ShowNow(ConnectionView* view) = 0;

  Record record_;
  Places places_;  // given back at the latest when it is destroyed

 private:
  friend class Drain;
  friend class Review;
  friend class ServiceHost;
  friend class Unproven;
  bool drain_awaits_ = false;             // Drain's: its end is awaited
  net::MonotonicTime drain_ends_from_{};  // Drain's: not before this moment
  std::list<std::unique_ptr<Connection>>::iterator position_;
  std::optional<std::list<Connection*>::iterator> unproven_;  // while it has not proven who it is
  net::MonotonicTime accepted_at_{};
  std::int64_t handshake_bytes_ = 0;  // as counted by Admission
  Review* review_ = nullptr;          // from Joined on
  // Review's: which of its snapshots it has been judged by, counted from 1
  std::uint64_t judged_ = 0;
  bool retired_ = false;
  Connection* next_retired_ = nullptr;
};

}  // namespace mooring::data
