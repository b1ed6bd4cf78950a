// PeerMemory: what a dialling side keeps of the places that it dials.
#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/tls_ends.h"
#include "tls/peer_memory.h"
#include "tls/ticket_rules.h"

namespace mooring::tls {

using namespace ends;  // NOLINT: the words that these tests are written in

using std::chrono::seconds;

namespace {

const WallTime kNow = std::chrono::system_clock::now();

// Tickets without a session behind them, each known by its address.
class Stubs {
 public:
  bssl::UniquePtr<SSL_SESSION> New(std::uint16_t version = TLS1_3_VERSION) {
    bssl::UniquePtr<SSL_SESSION> made(SSL_SESSION_new(ctx_.get()));
    REQUIRE(SSL_SESSION_set_protocol_version(made.get(), version) == 1);
    return made;
  }

 private:
  bssl::UniquePtr<SSL_CTX> ctx_{SSL_CTX_new(TLS_method())};
};

std::string Numbered(std::size_t number) { return "place " + std::to_string(number); }

// Fill keeps tickets for places [from, to), each with as many as fit.
void Fill(PeerMemory& memory, Stubs& stubs, std::size_t from, std::size_t to) {
  for (std::size_t place = from; place < to; ++place) {
    for (std::size_t i = 0; i < PeerMemory::kMostPerPlace; ++i)
      memory.Keep(Numbered(place), stubs.New(), kNow);
  }
}

}  // namespace

TEST_CASE("peer memory: the newest ticket first, and of each place only so many") {
  Stubs stubs;
  PeerMemory memory;
  std::vector<const SSL_SESSION*> kept;
  for (std::size_t i = 0; i < PeerMemory::kMostPerPlace + 4; ++i) {
    auto ticket = stubs.New();
    kept.push_back(ticket.get());
    memory.Keep("a", std::move(ticket), kNow);
  }
  memory.Keep("b", stubs.New(), kNow);
  CHECK(memory.tickets() == PeerMemory::kMostPerPlace + 1);
  for (std::size_t i = 0; i < PeerMemory::kMostPerPlace; ++i) {
    const auto ticket = memory.Use("a", kNow).ticket;
    CHECK(ticket.get() == kept.back());
    kept.pop_back();
  }
  CHECK(!memory.Use("a", kNow).ticket);
  CHECK(memory.tickets() == 1);
  CHECK(!memory.Use("c", kNow).ticket);
}

TEST_CASE("peer memory: a TLS 1.2 ticket stays until a newer one comes") {
  Stubs stubs;
  PeerMemory memory;
  auto older = stubs.New(TLS1_2_VERSION);
  const SSL_SESSION* first = older.get();
  memory.Keep("a", std::move(older), kNow);
  CHECK(memory.Use("a", kNow).ticket.get() == first);
  CHECK(memory.Use("a", kNow).ticket.get() == first);
  auto newer = stubs.New(TLS1_2_VERSION);
  const SSL_SESSION* second = newer.get();
  memory.Keep("a", std::move(newer), kNow);
  CHECK(memory.Use("a", kNow).ticket.get() == second);
  CHECK(memory.Use("a", kNow).ticket.get() == second);
}

TEST_CASE("peer memory: beyond the total the place that was used longest ago goes") {
  Stubs stubs;
  PeerMemory memory;
  constexpr std::size_t kFull = PeerMemory::kMostTickets / PeerMemory::kMostPerPlace;
  Fill(memory, stubs, 0, kFull);
  CHECK(memory.tickets() == PeerMemory::kMostTickets);
  CHECK(memory.Use(Numbered(0), kNow).ticket);  // no longer the oldest
  memory.Keep(Numbered(0), stubs.New(), kNow);
  memory.Keep("one more", stubs.New(), kNow);
  CHECK(memory.tickets() <= PeerMemory::kMostTickets);
  CHECK(memory.Use(Numbered(0), kNow).ticket);
  CHECK(!memory.Use(Numbered(1), kNow).ticket);
  CHECK(memory.Use(Numbered(2), kNow).ticket);
  CHECK(memory.Use("one more", kNow).ticket);
}

TEST_CASE("peer memory: the total holds although the oldest places have no tickets") {
  Stubs stubs;
  PeerMemory memory;
  for (std::size_t i = 0; i < 500; ++i) memory.NoteGroup("without " + std::to_string(i), true);
  std::size_t most = 0;
  for (std::size_t place = 0; place < 2 * PeerMemory::kMostTickets / PeerMemory::kMostPerPlace;
       ++place) {
    Fill(memory, stubs, place, place + 1);
    most = std::max(most, memory.tickets());
  }
  CHECK(most <= PeerMemory::kMostTickets);
}

TEST_CASE("peer memory: beyond so many places the one that was used longest ago goes") {
  PeerMemory memory;
  for (std::size_t i = 0; i < PeerMemory::kMostPlaces; ++i) memory.NoteGroup(Numbered(i), true);
  // Asking for a place that is not known makes none.
  for (std::size_t i = 0; i < PeerMemory::kMostPlaces; ++i) {
    CHECK(!memory.Use("unknown " + std::to_string(i), kNow).takes_first_group);
  }
  CHECK(memory.Use(Numbered(0), kNow).takes_first_group);
  memory.NoteGroup("one more", true);
  CHECK(memory.Use(Numbered(0), kNow).takes_first_group);
  CHECK(!memory.Use(Numbered(1), kNow).takes_first_group);
  CHECK(memory.Use(Numbered(2), kNow).takes_first_group);
  CHECK(memory.Use("one more", kNow).takes_first_group);
  memory.NoteGroup("one more", false);
  CHECK(!memory.Use("one more", kNow).takes_first_group);
}

TEST_CASE(
    "peer memory: a place whose tickets fail twice in a row gets none any more, and keeps its "
    "group") {
  Stubs stubs;
  PeerMemory memory;
  Fill(memory, stubs, 0, 2);
  memory.NoteGroup(Numbered(0), true);
  CHECK(!memory.Use(Numbered(0), kNow).doubtful);
  memory.TicketFailed(Numbered(0));
  CHECK(memory.tickets() == PeerMemory::kMostPerPlace);
  memory.Keep(Numbered(0), stubs.New(), kNow);
  PeerMemory::Hints hints = memory.Use(Numbered(0), kNow);
  CHECK(hints.ticket);
  CHECK(hints.doubtful);
  memory.TicketServed(Numbered(0));
  memory.TicketFailed(Numbered(0));
  memory.Keep(Numbered(0), stubs.New(), kNow);
  CHECK(memory.Use(Numbered(0), kNow).ticket);
  for (int i = 0; i < 2; ++i) memory.TicketFailed(Numbered(0));
  memory.Keep(Numbered(0), stubs.New(), kNow);
  hints = memory.Use(Numbered(0), kNow);
  CHECK(!hints.ticket);
  CHECK(hints.takes_first_group);
  CHECK(memory.Use(Numbered(1), kNow).ticket);
}

TEST_CASE("peer memory: a ticket is used for so long after the full handshake, whenever it came") {
  for (const int version : kVersions) {
    CAPTURE(version);
    Stubs stubs;
    PeerMemory memory;
    const WallTime proven = kNow;
    const WallTime last = proven + seconds(kTicketSeconds - 1);
    for (int i = 0; i < 3; ++i)
      memory.Keep("a", stubs.New(static_cast<std::uint16_t>(version)), proven);
    const PeerMemory::Hints hints = memory.Use("a", last);
    CHECK(hints.ticket);
    CHECK(hints.proven_at == proven);
    // The next ticket of a chain, come at the last moment, is worth no longer.
    memory.Keep("a", stubs.New(static_cast<std::uint16_t>(version)), hints.proven_at);
    CHECK(!memory.Use("a", last + seconds(1)).ticket);
    CHECK(memory.tickets() == 0);
    // Nor is one that was proven at a time that has not come.
    memory.Keep("a", stubs.New(static_cast<std::uint16_t>(version)), proven);
    CHECK(!memory.Use("a", proven - seconds(1)).ticket);
  }
}

TEST_CASE("peer memory: of several tickets those that are too old go, and the others stay") {
  Stubs stubs;
  PeerMemory memory;
  memory.Keep("a", stubs.New(), kNow + seconds(60));
  memory.Keep("a", stubs.New(), kNow);
  const PeerMemory::Hints hints = memory.Use("a", kNow + seconds(kTicketSeconds));
  CHECK(hints.ticket);
  CHECK(hints.proven_at == kNow + seconds(60));
  CHECK(memory.tickets() == 0);
}

}  // namespace mooring::tls
