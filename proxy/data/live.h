// Live: the part of a connection's life in which bytes pass, of either kind. The relay, the grace
// of an objection, the largest age, and how it ends: quietly, by a cut, or by itself.
//
// Owned by the connection, as both legs are; its loop's thread. Whether the connection may go on is
// not decided here (judge.h).
#pragma once

#include <functional>
#include <optional>
#include <utility>

#include "proxy/data/connection_view.h"
#include "proxy/data/host.h"
#include "proxy/data/judge.h"
#include "proxy/data/record.h"
#include "proxy/data/relay.h"
#include "proxy/net/stream.h"

namespace mooring::data {

// Manner is how a connection that may not go on ends: at once, or because it is between two
// exchanges, where its owner loses nothing.
enum class Manner { kCut, kBetweenExchanges };

class Live final {
 public:
  // Owner is the connection.
  class Owner {
   public:
    // IsSettled has the newest snapshot looked at, if that has not been done yet. False: the
    // connection is over by that.
    virtual bool IsSettled() noexcept = 0;
    // OnObjection: the connection may not go on. It says so, and calls Cut; or, between two
    // exchanges, End.
    virtual void OnObjection(const Objection& objection, Manner manner) = 0;
    // OnLiveOver comes once, as the last thing that Live does. It takes no memory, and may not
    // destroy the Live at once.
    virtual void OnLiveOver(CloseReason reason) noexcept = 0;

   protected:
    ~Owner() = default;
  };

  // `mesh` is the leg that speaks TLS. The client is whoever has connected to us: the app outbound,
  // the mesh inbound. The connection has lived `since`, which its largest age counts from.
  // idle_timeout 0: none.
  Live(Host& host, Owner& owner, Record& record, net::Stream& app, net::Stream& mesh,
       net::milliseconds idle_timeout, net::MonotonicTime since);

  // Start begins to move bytes. `first` is what a Read of `mesh` has delivered already, if there
  // was one.
  void Start(std::optional<net::Stream::ReadResult> first = std::nullopt) {
    host_.NoteLife(Report::What::kStart, &record_);
    relay_.Start(first);
  }
  Relay& relay() { return relay_; }
  // Feed tells the counters what has moved.
  void Feed() noexcept;
  // Show adds what has moved until now, and whether anything still does.
  void Show(ConnectionView* view) const;

  // OnSnapshot asks for a verdict, by the moment that it is for, on what changed at `changed`.
  template <typename Ask>
  void OnSnapshot(const Ask& ask, net::MonotonicTime changed) {
    if (host_.snapshot()->live.cut_revoked) Judged(ask(grace_.moment()), changed);
  }
  // Sweep looks at the age, for a peer that has died, tells the counters and reports. Call it every
  // net::kLivenessCheck.
  void Sweep();
  void Attach(std::shared_ptr<Tap> tap) { relay_.Attach(std::move(tap)); }
  // EndIfQuiet and Cut are as Connection has them.
  bool EndIfQuiet(net::milliseconds quiet, CloseReason reason = CloseReason::kDrained);
  void Cut(CloseReason reason) noexcept { relay_.Cut(reason); }
  void End(CloseReason reason) { relay_.End(reason); }

 private:
  void Judged(std::optional<Objection> objection, net::MonotonicTime changed);
  void LookAtGrace();
  void OnOver(CloseReason reason) noexcept;
  void Note() noexcept;  // in the record

  Host& host_;
  Owner& owner_;
  Record& record_;
  net::Stream& client_;
  net::Stream& server_;
  const net::MonotonicTime since_;
  Grace grace_;
  std::optional<net::Timer> grace_look_;  // made for an objection: nearly no connection has one
  bool quiets_ = false;                   // it ends between exchanges, before its grace does
  Exchanges exchanges_;
  Relay relay_;
};

}  // namespace mooring::data
