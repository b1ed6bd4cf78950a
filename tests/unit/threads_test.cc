// What may be called from any thread, called from several at once. Every test here passes with any
// outcome of a race that it can see: the rest is ThreadSanitizer's to see (tests/run --tsan).
#include <doctest/doctest.h>
#include <fcntl.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "proxy/data/admission.h"
#include "proxy/net/loop.h"
#include "tests/unit/shortage_fixture.h"
#include "tls/ticket_keys.h"
#include "tls/verdicts.h"

namespace {

using namespace mooring;
using Bytes = std::vector<std::uint8_t>;

constexpr int kThreads = 4;

// AtOnce runs `act` on kThreads threads, with their numbers, and waits for them.
void AtOnce(const std::function<void(int)>& act) {
  std::vector<std::thread> threads;
  for (int number = 0; number < kThreads; ++number)
    threads.emplace_back([&act, number] { act(number); });
  for (std::thread& one : threads) one.join();
}

}  // namespace

TEST_CASE(
    "threads: a loop runs what several threads post, each task once and each thread's in order") {
  constexpr int kEach = 2'000;
  net::Loop loop;
  std::array<std::vector<int>, kThreads> ran;
  std::thread server([&loop] { loop.Run(); });
  AtOnce([&](int number) {
    std::vector<int>& mine = ran[static_cast<std::size_t>(number)];
    for (int i = 0; i < kEach; ++i) loop.Post([&mine, i] { mine.push_back(i); });
  });
  loop.PostStop();
  server.join();
  for (const std::vector<int>& mine : ran) {
    REQUIRE(mine.size() == kEach);
    for (int i = 0; i < kEach; ++i) REQUIRE(mine[static_cast<std::size_t>(i)] == i);
  }
}

TEST_CASE(
    "threads: an admission counts what several workers enter and leave, and wakes whoever waits") {
  constexpr int kEach = 2'000;
  data::Admission admission(data::Limits::None(), kThreads);
  std::atomic<int> woken = 0;
  AtOnce([&](int number) {
    const void* const who = &number;
    for (int i = 0; i < kEach; ++i) {
      (void)admission.Ask(data::ListenerKind::kPublic);
      admission.Enter(data::ListenerKind::kPublic);
      admission.AddHandshakes(1, 100);
      admission.buffers().Add(1'000);
      admission.Waiting(who, [&woken] { ++woken; });
      admission.buffers().Add(-1'000);
      admission.AddHandshakes(-1, -100);
      admission.Leave(data::ListenerKind::kPublic);
      admission.WakeWaiting();
    }
    admission.Forget(who);
  });
  CHECK(admission.connections(data::ListenerKind::kPublic) == 0);
  CHECK(admission.handshakes() == 0);
  CHECK(admission.handshake_bytes() == 0);
  CHECK(admission.buffers().kept() == 0);
  CHECK(woken > 0);
}

TEST_CASE("threads: ticket keys that change meanwhile open what was sealed on another thread") {
  constexpr int kEach = 300;
  const auto start = std::chrono::steady_clock::now();
  const Bytes session(1500, 7);
  tls::TicketKeys keys;
  std::atomic<int> opened = 0;
  AtOnce([&](int) {
    for (int i = 0; i < kEach; ++i) {
      const auto now = start + std::chrono::minutes(i);  // hours in all, so that keys come and go
      Bytes ticket(session.size() + tls::TicketKeys::kOverhead);
      if (keys.Seal(session, ticket, now) != ticket.size()) continue;
      Bytes plain(ticket.size());
      if (keys.Open(ticket, plain, now) == session.size()) ++opened;
    }
  });
  CHECK(opened > 0);  // another thread may be so far ahead that a key is forgotten
}

TEST_CASE("threads: verdicts are found while others are remembered") {
  constexpr int kEach = 1'000;
  const tls::WallTime noon{std::chrono::hours(500'000)};
  const tls::TimeSpan valid{noon, noon + std::chrono::hours(1)};
  tls::Verdicts verdicts;
  std::atomic<int> wrong = 0;
  AtOnce([&](int number) {
    for (int i = 0; i < kEach; ++i) {
      tls::Verdicts::Key key{};
      key[0] = static_cast<std::uint8_t>(i);
      key[1] = static_cast<std::uint8_t>(i / 256);
      const auto id = tls::ends::Service("s" + std::to_string(i));
      if (number % 2 == 0) verdicts.Remember(key, id, valid);
      const auto found = verdicts.Find(key, noon);
      if (found && !(*found == id)) ++wrong;
    }
  });
  CHECK(wrong == 0);
}

TEST_CASE(
    "threads: connections live whole lives on two workers of one identity while snapshots are "
    "posted") {
  constexpr int kLives = 30;
  test::Sidecars sidecars;
  data::Worker worker;
  data::ServiceHost& second = worker.AddService(sidecars.log);
  worker.Start();
  net::UniqueFd share(fcntl(sidecars.out.get(), F_DUPFD_CLOEXEC, 0));
  REQUIRE(share);
  const auto post = [&] {
    const std::shared_ptr<const data::Snapshot> snapshot = sidecars.ForCaller();
    sidecars.caller.PostSnapshot(snapshot);
    second.PostSnapshot(snapshot);
    sidecars.TellService();
  };
  post();
  second.PostListener("db", data::ListenerKind::kUpstream, std::move(share));
  std::vector<std::future<int>> clients;
  for (int number = 0; number < kThreads; ++number) {
    clients.push_back(std::async(std::launch::async, [&sidecars] {
      int whole = 0;
      for (int i = 0; i < kLives; ++i) whole += test::Client(sidecars).Live() ? 1 : 0;
      return whole;
    }));
  }
  std::atomic<bool> over = false;
  std::thread control([&] {
    while (!over) {
      post();
      (void)sidecars.caller.stats().outbound.total.value();
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
  int whole = 0;
  for (auto& client : clients) whole += client.get();
  over = true;
  control.join();
  CHECK(whole == kThreads * kLives);
}

TEST_CASE(
    "threads: two services of one worker are each decided by their own snapshot while both are "
    "posted") {
  constexpr int kLives = 20;
  test::Sidecars sidecars;
  data::Worker worker;
  data::ServiceHost& open = worker.AddService(sidecars.log);
  data::ServiceHost& closed = worker.AddService(sidecars.log);
  worker.Start();
  const net::UniqueFd open_at = test::Sidecars::Open(open, "public", data::ListenerKind::kPublic);
  const net::UniqueFd closed_at =
      test::Sidecars::Open(closed, "public", data::ListenerKind::kPublic);
  const auto rules = [&](authz::DefaultPolicy fallback) {
    auto inbound = std::make_shared<data::InboundRules>();
    inbound->local_app = {sidecars.app.address()};
    auto snapshot = std::make_shared<data::Snapshot>();
    snapshot->identity = sidecars.IdentityOf(sidecars.db_leaf);
    snapshot->intentions = std::make_shared<authz::IntentionSet>();
    snapshot->fallback = fallback;
    snapshot->inbound = std::move(inbound);
    return snapshot;
  };
  const auto post = [&] {
    open.PostSnapshot(rules(authz::DefaultPolicy::kAllow));
    closed.PostSnapshot(rules(authz::DefaultPolicy::kDeny));
  };
  post();
  const auto lead_to = [&](const net::UniqueFd& place) {
    auto snapshot = std::make_shared<data::Snapshot>(*sidecars.ForCaller());
    auto upstream = std::make_shared<data::UpstreamRules>(*snapshot->upstreams["db"]);
    upstream->endpoints[0].address = net::SocketAddress::LocalOf(place.get());
    snapshot->upstreams["db"] = std::move(upstream);
    sidecars.caller.PostSnapshot(std::move(snapshot));
    test::OnThreadOf(sidecars.caller, [] {});
  };
  std::atomic<bool> over = false;
  std::thread control([&] {
    while (!over) {
      post();
      (void)open.stats().inbound.total.value();
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
  int lived = 0;
  int denied = 0;
  lead_to(open_at);
  for (int i = 0; i < kLives; ++i) lived += test::Client(sidecars).Live() ? 1 : 0;
  lead_to(closed_at);
  for (int i = 0; i < kLives; ++i) denied += test::Client(sidecars).Live() ? 0 : 1;
  over = true;
  control.join();
  CHECK(lived == kLives);
  CHECK(denied == kLives);
  CHECK(closed.stats().inbound.total.value() >= kLives);
  CHECK(open.stats().inbound.total.value() == kLives);
}
