// Workers that share a listener: what one of them has no time for, another takes, and each
// connection is taken once.
#include "proxy/data/worker.h"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <future>
#include <thread>
#include <utility>
#include <vector>

#include "tests/unit/http_fixture.h"

namespace {

using namespace mooring;

// Pair is two workers behind one listening socket. They know no endpoints, so connections stay and
// wait.
struct Pair {
  Pair() {
    auto opened = net::Listen(test::Loopback());
    REQUIRE(opened);
    listening = std::move(*opened);
    for (auto& worker : workers) {
      net::UniqueFd share(fcntl(listening.get(), F_DUPFD_CLOEXEC, 0));
      REQUIRE(share);
      hosts.push_back(&worker.AddService(log));
      worker.Start();
      hosts.back()->PostListener("db", data::ListenerKind::kUpstream, std::move(share));
    }
  }

  std::int64_t Taken(std::size_t worker) const {
    return hosts[worker]->stats().outbound.total.value();
  }

  // Dial makes `count` connections, one after the other, and waits until each has been taken.
  void Dial(int count) {
    for (int i = 0; i < count; ++i) {
      const std::int64_t before = Taken(0) + Taken(1);
      net::ConnectStart start = net::StartConnect(net::SocketAddress::LocalOf(listening.get()));
      REQUIRE(start.error == 0);
      clients.push_back(std::move(start.fd));
      const auto limit = std::chrono::steady_clock::now() + test::kGiveUp;
      while (Taken(0) + Taken(1) == before) {
        REQUIRE(std::chrono::steady_clock::now() < limit);
        std::this_thread::sleep_for(std::chrono::microseconds{100});
      }
    }
  }

  log::Log log{log::Level::kError, /*json=*/false};
  net::UniqueFd listening;
  std::array<data::Worker, 2> workers;
  std::vector<data::ServiceHost*> hosts;
  std::vector<net::UniqueFd> clients;
};

// Busy keeps a worker's loop in one event while it lives.
class Busy final {
 public:
  explicit Busy(data::Worker& worker) {
    std::promise<void> begun;
    worker.loop().Post([&begun, over = over_.get_future().share()] {
      begun.set_value();
      over.wait();
    });
    begun.get_future().wait();
  }
  ~Busy() { over_.set_value(); }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  std::promise<void> over_;
};

}  // namespace

TEST_CASE("a worker that is busy holds no new connection back: another takes it") {
  constexpr int kEach = 20;
  Pair pair;
  for (const std::size_t free : {std::size_t{0}, std::size_t{1}}) {
    const Busy busy(pair.workers[1 - free]);
    pair.Dial(kEach);
    CHECK(pair.Taken(free) == kEach);
  }
  CHECK(pair.Taken(0) == kEach);
}

TEST_CASE("a connection is taken by one worker while all of them wait") {
  constexpr int kAll = 40;
  Pair pair;
  pair.Dial(kAll);
  CHECK(pair.Taken(0) + pair.Taken(1) == kAll);
}
