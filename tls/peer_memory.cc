#include "tls/peer_memory.h"

#include <iterator>
#include <utility>

#include "tls/ticket_rules.h"

namespace mooring::tls {

PeerMemory::Place& PeerMemory::Touch(const std::string& name) {
  if (const auto found = by_name_.find(name); found != by_name_.end()) {
    places_.splice(places_.begin(), places_, found->second);
    return places_.front();
  }
  if (places_.size() == kMostPlaces) Drop(std::prev(places_.end()));
  places_.push_front({name, {}, false, 0});
  try {
    by_name_.emplace(places_.front().name, places_.begin());
  } catch (...) {
    places_.pop_front();
    throw;
  }
  return places_.front();
}

PeerMemory::Hints PeerMemory::Use(const std::string& place, WallTime now) {
  const std::lock_guard lock(mutex_);
  if (!by_name_.contains(place)) return {};
  Place& known = Touch(place);
  Hints hints;
  hints.takes_first_group = known.takes_first_group;
  tickets_ -= std::erase_if(
      known.tickets, [now](const Ticket& ticket) { return !StillProven(ticket.proven_at, now); });
  if (known.tickets.empty()) return hints;
  hints.doubtful = known.tickets_failed > 0;
  hints.proven_at = known.tickets.back().proven_at;
  // A TLS 1.2 session may serve again, and its server gives no new one while it does.
  if (SSL_SESSION_should_be_single_use(known.tickets.back().session.get()) == 0) {
    hints.ticket = bssl::UpRef(known.tickets.back().session);
  } else {
    hints.ticket = std::move(known.tickets.back().session);
    known.tickets.pop_back();
    --tickets_;
  }
  return hints;
}

void PeerMemory::Keep(const std::string& place, bssl::UniquePtr<SSL_SESSION> ticket,
                      WallTime proven_at) {
  const std::lock_guard lock(mutex_);
  Place& known = Touch(place);
  if (known.tickets_failed == kMostFailed) return;
  if (known.tickets.size() == kMostPerPlace) {
    known.tickets.erase(known.tickets.begin());
    --tickets_;
  }
  known.tickets.push_back({std::move(ticket), proven_at});
  // Places that have not been dialled for the longest time give way; some of them may hold no
  // tickets.
  for (++tickets_; tickets_ > kMostTickets;) Drop(std::prev(places_.end()));
}

void PeerMemory::NoteGroup(const std::string& place, bool first) {
  const std::lock_guard lock(mutex_);
  Touch(place).takes_first_group = first;
}

void PeerMemory::TicketFailed(const std::string& place) {
  const std::lock_guard lock(mutex_);
  Place& known = Touch(place);
  DropTickets(&known);
  if (known.tickets_failed < kMostFailed) ++known.tickets_failed;
}

void PeerMemory::TicketServed(const std::string& place) {
  const std::lock_guard lock(mutex_);
  Touch(place).tickets_failed = 0;
}

void PeerMemory::Forget(const std::string& place) {
  const std::lock_guard lock(mutex_);
  DropTickets(&Touch(place));
}

std::size_t PeerMemory::tickets() const {
  const std::lock_guard lock(mutex_);
  return tickets_;
}

void PeerMemory::DropTickets(Place* place) {
  tickets_ -= place->tickets.size();
  place->tickets.clear();
}

void PeerMemory::Drop(Places::iterator place) {
  DropTickets(&*place);
  by_name_.erase(place->name);
  places_.erase(place);
}

}  // namespace mooring::tls
