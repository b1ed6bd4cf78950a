// TicketKeys and the rules about tickets, with the time as an argument.
#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "tls/ticket_keys.h"
#include "tls/ticket_rules.h"

namespace mooring::tls {
namespace {

using Bytes = std::vector<std::uint8_t>;
using std::chrono::seconds;

const TicketKeys::Time kStart = std::chrono::steady_clock::now();
const Bytes kSession(1500, 7);

Bytes Sealed(TicketKeys& keys, TicketKeys::Time now, const Bytes& session = kSession) {
  Bytes ticket(session.size() + TicketKeys::kOverhead);
  CHECK(keys.Seal(session, ticket, now) == ticket.size());
  return ticket;
}

bool Opens(TicketKeys& keys, const Bytes& ticket, TicketKeys::Time now) {
  Bytes session(ticket.size());
  session.resize(keys.Open(ticket, session, now));
  const bool whole = session == kSession;
  CHECK((session.empty() || whole));
  return whole;
}

}  // namespace

TEST_CASE("ticket keys: what was sealed opens, and nothing else does") {
  TicketKeys keys;
  TicketKeys others;
  const Bytes ticket = Sealed(keys, kStart);
  CHECK(Opens(keys, ticket, kStart));
  CHECK(Opens(keys, ticket, kStart));  // who may use it twice is not decided here
  CHECK(Sealed(keys, kStart) != ticket);
  CHECK(!Opens(others, ticket, kStart));
  Sealed(others, kStart);
  CHECK(!Opens(others, ticket, kStart));
  for (const std::size_t at : {std::size_t{0}, TicketKeys::kNameSize,
                               TicketKeys::kNameSize + TicketKeys::kNonceSize, ticket.size() - 1}) {
    CAPTURE(at);
    Bytes changed = ticket;
    changed[at] ^= 1U;
    CHECK(!Opens(keys, changed, kStart));
  }
  for (const std::size_t length :
       {std::size_t{0}, TicketKeys::kOverhead - 1, TicketKeys::kOverhead, ticket.size() - 1}) {
    CAPTURE(length);
    CHECK(!Opens(keys, Bytes(ticket.begin(), ticket.begin() + static_cast<std::ptrdiff_t>(length)),
                 kStart));
  }
  Bytes small(ticket.size() - 1);
  CHECK(keys.Seal(kSession, small, kStart) == 0);
}

TEST_CASE("ticket keys: a key seals for the life of a ticket and opens for twice that") {
  constexpr seconds kLife{kTicketSeconds};
  TicketKeys keys;
  const Bytes first = Sealed(keys, kStart);
  const Bytes last = Sealed(keys, kStart + kLife - seconds(1));
  const auto name = [](const Bytes& ticket) {
    return Bytes(ticket.begin(), ticket.begin() + TicketKeys::kNameSize);
  };
  CHECK(name(first) == name(last));
  const Bytes next = Sealed(keys, kStart + kLife);
  CHECK(name(next) != name(first));
  // A ticket of the key's last moment lives out its life, though another key seals by now.
  CHECK(Opens(keys, last, kStart + 2 * kLife - seconds(1)));
  CHECK(!Opens(keys, last, kStart + 2 * kLife));
  CHECK(!Opens(keys, first, kStart));  // forgotten is forgotten
  CHECK(Opens(keys, next, kStart + 2 * kLife));
  // Without a caller in between: the one key that there is, is forgotten, too.
  CHECK(!Opens(keys, next, kStart + 3 * kLife));
  CHECK(!Opens(keys, next, kStart + kLife));
}

TEST_CASE("ticket rules: tickets of more than two days, or of no stated lifetime, are not kept") {
  CHECK(!WorthKeeping(0));
  CHECK(WorthKeeping(1));
  CHECK(WorthKeeping(7'200));
  CHECK(WorthKeeping(172'800));  // BoringSSL's servers
  CHECK(!WorthKeeping(172'801));
  CHECK(!WorthKeeping(604'800));  // Go's
  CHECK(!WorthKeeping(0xFFFFFFFF));
}

}  // namespace mooring::tls
