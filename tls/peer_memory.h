// PeerMemory: what a dialling context remembers of the peers it has dialled, so that the next
// connection to the same place costs half a handshake: tickets to resume by, and whether the peer
// takes our first group.
//
// A place is an identity at an address. A TLS 1.3 ticket is used once (RFC 8446 C.4). The memory
// belongs to one Context, that is, to one leaf and one set of roots, and goes with it. Nobody is
// believed for a ticket: the chain that it carries is judged at every use. Any thread.
#pragma once

#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tls/boringssl.h"

namespace mooring::tls {

class PeerMemory final {
 public:
  // tickets: what a burst of connections can take at once
  static constexpr std::size_t kMostPerPlace = 16;
  static constexpr std::size_t kMostTickets = 1024;  // of all places; 2 to 4 kB each
  static constexpr std::size_t kMostPlaces = 1024;

  struct Hints {
    bssl::UniquePtr<SSL_SESSION> ticket;  // null: none
    bool takes_first_group = false;       // its last handshake was with the group that we prefer
    // when the full handshake was that the ticket goes back to
    WallTime proven_at;
    // the last ticket failed: TicketServed wants to hear of this one
    bool doubtful = false;
  };
  // Use is what helps to dial a place; it takes the newest ticket. Those that prove nothing any
  // more (StillProven) are dropped.
  Hints Use(const std::string& place, WallTime now);

  // Keep is for a ticket of a session whose server has shown its key at `proven_at`, whatever was
  // resumed between.
  void Keep(const std::string& place, bssl::UniquePtr<SSL_SESSION> ticket, WallTime proven_at);
  void NoteGroup(const std::string& place, bool first);
  // TicketFailed is for a place that failed when it was asked to resume: the tickets that it gave
  // are dropped, and at the second time in a row it is not asked again. One failure may be a
  // server's that was just ending.
  void TicketFailed(const std::string& place);
  void TicketServed(const std::string& place);
  // Forget drops the tickets of a place: the chain that they carry has been refused.
  void Forget(const std::string& place);

  std::size_t tickets() const;

 private:
  static constexpr int kMostFailed = 2;
  struct Ticket {
    bssl::UniquePtr<SSL_SESSION> session;
    WallTime proven_at;
  };
  struct Place {
    std::string name;
    std::vector<Ticket> tickets;  // the newest last
    bool takes_first_group = false;
    int tickets_failed = 0;  // in a row
  };
  using Places = std::list<Place>;

  Place& Touch(const std::string& name);  // makes it if it is not there
  void Drop(Places::iterator place);
  void DropTickets(Place* place);

  mutable std::mutex mutex_;
  Places places_;  // used last comes first
  std::unordered_map<std::string_view, Places::iterator> by_name_;
  std::size_t tickets_ = 0;
};

}  // namespace mooring::tls
