// Caps: exact counts, given back once, whoever asks at the same time.
#include "proxy/data/caps.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/unit/failing_new.h"

namespace mooring::data {
namespace {

using namespace std::chrono_literals;

net::SocketAddress At(const std::string& host) {
  return *net::SocketAddress::FromLiteral(net::Address::Tcp(host, 40'000));
}

std::shared_ptr<Cap> CapOf(std::optional<unsigned> most) {
  auto cap = std::make_shared<Cap>();
  cap->SetLimit(most);
  return cap;
}

Limits TotalOf(unsigned most) {
  Limits limits = Limits::None();
  limits.connections = most;
  return limits;
}

TEST_CASE("cap: as many as it may have come in, and the next once one has left") {
  const auto cap = CapOf(2);
  Place first = Place::In(cap), second = Place::In(cap);
  CHECK((first && second));
  CHECK_FALSE(Place::In(cap));
  CHECK(cap->count() == 2);
  CHECK(cap->refused() == 1);
  first.Return();
  first.Return();  // once is all
  CHECK(cap->count() == 1);
  Place moved = std::move(second);
  CHECK(cap->count() == 1);
  moved = Place::In(cap);
  CHECK(cap->count() == 1);
  { const Place late = Place::EvenIfFull(cap), later = Place::EvenIfFull(cap); }
  CHECK(cap->count() == 1);
  moved = Place();
  CHECK(cap->count() == 0);
}

TEST_CASE("cap: 0 lets nobody in, none counts alone, and a new limit holds for who asks next") {
  const auto cap = CapOf(std::nullopt);
  CHECK_FALSE(cap->limit());
  std::vector<Place> many;
  for (int i = 0; i < 100; ++i) many.push_back(Place::In(cap));
  CHECK(cap->count() == 100);
  cap->SetLimit(50);
  CHECK(cap->limit() == 50);
  CHECK_FALSE(Place::In(cap));
  many.resize(49);
  CHECK(Place::In(cap));
  cap->SetLimit(0);
  many.clear();
  CHECK_FALSE(Place::In(cap));
  CHECK(cap->count() == 0);
}

TEST_CASE("identity cap: each identity has its own places, and one without any is forgotten") {
  const auto cap = std::make_shared<IdentityCap>(2);
  auto a1 = cap->Enter("a"), a2 = cap->Enter("a"), b1 = cap->Enter("b");
  CHECK((a1 && a2 && b1));
  CHECK_FALSE(cap->Enter("a"));
  CHECK(cap->Enter("b"));  // and gone again
  CHECK(cap->Largest() == std::pair<std::string, std::int64_t>("a", 2));
  CHECK(cap->refused() == 1);
  a1->Return();
  a1->Return();
  CHECK(cap->Enter("a"));
  IdentityCap::Place kept = std::move(*a2);
  a2.reset();
  CHECK(cap->Largest().second == 1);
  kept = std::move(*b1);
  b1.reset();
  CHECK(cap->Largest() == std::pair<std::string, std::int64_t>("b", 1));
  kept.Return();
  CHECK(cap->Largest() == std::pair<std::string, std::int64_t>("", 0));
}

TEST_CASE("identity cap: where there is no memory nothing is counted") {
  const auto cap = std::make_shared<IdentityCap>(1);
  const std::string identity(200, 'x');
  for (std::size_t n = 1;; ++n) {
    test::FailingNew::Arm(n, 1);
    std::optional<IdentityCap::Place> place;
    try {
      place = cap->Enter(identity);
    } catch (const std::bad_alloc&) {
    }
    if (test::FailingNew::Lift().failed == 0) {
      CHECK(place);
      break;
    }
    CHECK_FALSE(place);
    CHECK(cap->Largest().second == 0);
  }
  CHECK(cap->refused() == 0);
}

TEST_CASE("caps: the first limit that is reached is named, and what was taken before it is back") {
  Admission admission(TotalOf(3), 1);
  const auto caps = std::make_shared<UpstreamCaps>();
  caps->connections.SetLimit(2);
  caps->pending.SetLimit(1);
  const auto enter = [&](ListenerKind kind, const std::shared_ptr<UpstreamCaps>& upstream,
                         Places* places) {
    const auto over = AtAccept(admission, kind, upstream, At("127.0.0.1"), {}, places);
    return over ? over->Text() : std::string();
  };
  Places first, second;
  CHECK(enter(ListenerKind::kUpstream, caps, &first).empty());
  {
    Places turned_away;
    CHECK(enter(ListenerKind::kUpstream, caps, &turned_away) == "max_pending is 1");
  }
  CHECK(admission.all()->count() == 1);
  CHECK(caps->connections.count() == 1);
  first.pending.Return();  // an instance is found
  CHECK(enter(ListenerKind::kUpstream, caps, &second).empty());
  second.pending.Return();
  {
    Places turned_away;
    CHECK(enter(ListenerKind::kUpstream, caps, &turned_away) == "max_connections is 2");
  }
  Places caller;
  CHECK(enter(ListenerKind::kPublic, nullptr, &caller).empty());
  Places last;
  CHECK(enter(ListenerKind::kUpstream, caps, &last) == "max_total_connections is 3");
  first = Places();
  CHECK(enter(ListenerKind::kUpstream, caps, &last).empty());
  CHECK(admission.all()->count() == 3);
}

TEST_CASE("caps: of callers the identity is asked first, and gives its place back to no avail") {
  const auto caps = std::make_shared<InboundCaps>();
  caps->connections.SetLimit(2);
  caps->each = std::make_shared<IdentityCap>(1);
  Places a, b, c;
  CHECK_FALSE(AtIdentity(caps, "a", &a));
  Places again;
  CHECK(AtIdentity(caps, "a", &again)->Text() == "max_connections_per_identity is 1");
  CHECK_FALSE(AtIdentity(caps, "b", &b));
  CHECK(AtIdentity(caps, "c", &c)->Text() == "max_inbound_connections is 2");
  a = Places();
  CHECK_FALSE(AtIdentity(caps, "c", &c));
  CHECK_FALSE(AtIdentity(nullptr, "d", &again));
}

TEST_CASE("address rate: a burst, then so many a second, each address by itself") {
  AddressRate rate(10, 5);
  net::MonotonicTime now{1h};
  const auto taken = [&](const std::string& host, int tries) {
    int count = 0;
    for (int i = 0; i < tries; ++i) count += rate.May(At(host), now) ? 1 : 0;
    return count;
  };
  CHECK(taken("10.0.0.1", 20) == 5);
  CHECK(taken("10.0.0.2", 20) == 5);
  now += 100ms;
  CHECK(taken("10.0.0.1", 20) == 1);
  now += 99ms;
  CHECK(taken("10.0.0.1", 20) == 0);
  now += 1ms;
  CHECK(taken("10.0.0.1", 20) == 1);
  now += 1h;
  CHECK(taken("10.0.0.1", 20) == 5);
  CHECK(rate.refused() == 15 + 15 + 19 + 20 + 19 + 15);
}

TEST_CASE("address rate: IPv6 counts by its /64, IPv4 within IPv6 as itself, a unix socket never") {
  AddressRate rate(1, 1);
  const net::MonotonicTime now{1h};
  CHECK(rate.May(At("2001:db8:0:1::1"), now));
  CHECK_FALSE(rate.May(At("2001:db8:0:1:ffff::2"), now));
  CHECK(rate.May(At("2001:db8:0:2::1"), now));
  CHECK(rate.May(At("10.0.0.1"), now));
  CHECK_FALSE(rate.May(At("::ffff:10.0.0.1"), now));
  net::Address path;
  path.kind = net::Address::Kind::kUnix;
  path.path = "/run/x.sock";
  for (int i = 0; i < 3; ++i) CHECK(rate.May(*net::SocketAddress::FromLiteral(path), now));
}

TEST_CASE("address rate: the address that was heard of longest ago is forgotten first") {
  AddressRate rate(1, 1, 3);
  net::MonotonicTime now{1h};
  for (const char* host : {"10.0.0.1", "10.0.0.2", "10.0.0.3"}) CHECK(rate.May(At(host), now));
  CHECK_FALSE(rate.May(At("10.0.0.1"), now));  // heard of again
  CHECK(rate.May(At("10.0.0.4"), now));
  CHECK(rate.remembered() == 3);
  CHECK_FALSE(rate.May(At("10.0.0.1"), now));
  CHECK_FALSE(rate.May(At("10.0.0.3"), now));
  CHECK(rate.May(At("10.0.0.2"), now));
}

TEST_CASE("address rate: who cannot be remembered is turned away, and nothing is lost by it") {
  AddressRate rate(1, 1);
  const net::MonotonicTime now{1h};
  const net::SocketAddress peer = At("10.0.0.1");
  for (std::size_t n = 1; n <= 2; ++n) {
    test::FailingNew::Arm(n, 1);
    const bool may = rate.May(peer, now);
    CHECK(test::FailingNew::Lift().failed == 1);
    CHECK_FALSE(may);
    CHECK(rate.remembered() == 0);
  }
  CHECK(rate.May(peer, now));
}

// Crowd runs `act` on several threads at once.
template <typename Act>
void Crowd(const Act& act) {
  constexpr int kThreads = 4;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back([&act, i] { act(i); });
  for (std::thread& thread : threads) thread.join();
}

TEST_CASE("threads: a cap never has more than it may, nor fewer than ask, and ends at none") {
  constexpr int kMost = 3, kTurns = 5'000;
  const auto cap = CapOf(kMost);
  std::atomic<int> inside{0}, most{0}, entered{0}, turned_away{0};
  Crowd([&](int) {
    for (int turn = 0; turn < kTurns; ++turn) {
      const Place place = Place::In(cap);
      if (!place) {
        ++turned_away;
        continue;
      }
      ++entered;
      const int now = ++inside;
      int before = most;
      while (now > before && !most.compare_exchange_weak(before, now)) {
      }
      --inside;
    }
  });
  CHECK(most <= kMost);
  CHECK(entered + turned_away == 4 * kTurns);
  CHECK(cap->refused() == turned_away);
  CHECK(cap->count() == 0);
  // All at once for the last places: exactly so many get one.
  std::vector<Place> places(4);
  Crowd([&](int i) { places[static_cast<std::size_t>(i)] = Place::In(cap); });
  CHECK(cap->count() == kMost);
}

TEST_CASE("threads: an identity cap counts what several workers let in and out") {
  const auto cap = std::make_shared<IdentityCap>(2);
  std::atomic<int> inside{0}, most{0}, lost{0};
  Crowd([&](int i) {
    const std::string own = "own-" + std::to_string(i);
    for (int turn = 0; turn < 2'000; ++turn) {
      if (!cap->Enter(own)) ++lost;  // nobody else is called so
      const auto place = cap->Enter("all");
      if (!place) continue;
      const int now = ++inside;
      int before = most;
      while (now > before && !most.compare_exchange_weak(before, now)) {
      }
      --inside;
    }
  });
  CHECK(lost == 0);
  CHECK(most <= 2);
  CHECK(cap->Largest() == std::pair<std::string, std::int64_t>("", 0));
}

TEST_CASE("threads: an address rate lets no more in, whoever looks") {
  AddressRate rate(1, 100);
  std::atomic<int> taken{0};
  Crowd([&](int) {
    for (int i = 0; i < 200; ++i) taken += rate.May(At("10.0.0.1"), net::MonotonicTime{1h}) ? 1 : 0;
  });
  CHECK(taken == 100);
  CHECK(rate.refused() == 4 * 200 - 100);
}

}  // namespace
}  // namespace mooring::data
