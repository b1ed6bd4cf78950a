#include "proxy/data/drain.h"

#include <algorithm>
#include <random>
#include <utility>

namespace mooring::data {
namespace {

using net::milliseconds;

constexpr milliseconds kSpread{1'000};  // over which the first ones end
constexpr milliseconds kLook{25};

}  // namespace

Drain::Drain(net::Loop& loop, std::list<std::unique_ptr<Connection>>& connections, Count& awaited)
    : loop_(loop), connections_(connections), awaited_(awaited), look_(loop, [this] { Look(); }) {}

void Drain::Begin(milliseconds quiet, std::optional<ListenerKind> only) {
  quiet_ = quiet;
  AwaitOpen(kSpread, only);
}

void Drain::Retire(milliseconds quiet, milliseconds spread) {
  quiet_ = quiet;
  retires_ = true;
  AwaitOpen(spread, std::nullopt);
}

void Drain::AwaitOpen(milliseconds spread, std::optional<ListenerKind> only) {
  std::minstd_rand random(std::random_device{}());
  std::uniform_int_distribution<milliseconds::rep> moment(
      0, std::max<milliseconds::rep>(spread.count(), 1) - 1);
  const net::MonotonicTime now = loop_.now();
  for (auto& connection : connections_) {
    if (only && connection->kind() != *only) continue;
    if (retires_ || connection->IsAwaited()) Await(*connection, now + milliseconds(moment(random)));
  }
  Look();
}

void Drain::AwaitAll(ListenerKind kind) {
  for (auto& connection : connections_) {
    if (connection->kind() == kind) Await(*connection, loop_.now());
  }
  Look();
}

void Drain::Await(Connection& connection, net::MonotonicTime ends_from) {
  connection.drain_ends_from_ = ends_from;
  if (connection.retired_ || connection.drain_awaits_) return;
  connection.drain_awaits_ = true;
  awaited_.Add();
}

void Drain::Release(Connection& connection) {
  if (std::exchange(connection.drain_awaits_, false)) awaited_.Add(-1);
}

void Drain::Look() {
  const net::MonotonicTime now = loop_.now();
  // one may retire inside the call; it stays on the list until after this event
  for (auto& connection : connections_) {
    if (!connection->drain_awaits_ || quiet_.count() == 0 || now < connection->drain_ends_from_ ||
        (retires_ && !connection->IsAwaited()))
      continue;
    loop_.Attend(connection.get(), [&] {
      if (connection->EndIfQuiet(quiet_)) Release(*connection);
    });
  }
  if (awaited_.value() > 0) look_.Start(kLook);
}

void Drain::CutAwaited() {
  for (auto& connection : connections_) {
    if (!connection->drain_awaits_) continue;
    // One that is never silent for long may be between exchanges at this moment: its end is clean,
    // too.
    if (connection->EndIfQuiet(milliseconds(0))) {
      Release(*connection);
    } else {
      connection->Cut(CloseReason::kDrainTimeout);
    }
  }
}

}  // namespace mooring::data
