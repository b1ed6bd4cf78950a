// How a session ends whose instance has left the catalog.
#include "proxy/data/farewell.h"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>

#include "tests/unit/live_fixture.h"
#include "tests/unit/test_clock.h"

namespace {

using namespace mooring;
using namespace std::chrono_literals;
using data::CloseReason;
using data::Farewell;

constexpr net::milliseconds kQuiet{200};
constexpr net::milliseconds kGrace{1'000};

// Leaving is a session, and its farewell once Begin is called.
struct Leaving {
  void Begin(net::milliseconds quiet = kQuiet) {
    began = loop().now();
    farewell.emplace(loop(), *served.live, quiet, began + kGrace);
    farewell->Look();
  }
  net::Loop& loop() { return served.host.loop(); }
  // Ended is when it is over, counted from Begin.
  net::milliseconds Ended() {
    clock.RunUntil(loop(), [this] { return served.ended.has_value(); });
    CHECK(served.ended == CloseReason::kDeparted);
    return std::chrono::duration_cast<net::milliseconds>(loop().now() - began);
  }
  // Seen is what the app sees: 0 for a clean end, or an errno.
  int Seen() const {
    char byte = 0;
    return recv(served.app_end.get(), &byte, 1, MSG_DONTWAIT) < 0 ? errno : 0;
  }

  test::Clock clock;
  test::Served served{data::ListenerKind::kUpstream};
  net::MonotonicTime began{};
  std::optional<Farewell> farewell;
};

}  // namespace

TEST_CASE("farewell: a session that has been silent between exchanges ends at once, cleanly") {
  Leaving leaving;
  leaving.clock.Skip(leaving.loop(), kQuiet);
  leaving.Begin();
  CHECK(leaving.Seen() == 0);
  leaving.served.app_end.Reset();
  leaving.served.mesh_end.Reset();
  CHECK(leaving.Ended() < kGrace);
}

TEST_CASE("farewell: one that has just spoken ends once it has been silent, cleanly") {
  Leaving leaving;
  leaving.served.Say(leaving.served.app_end.get(), leaving.served.mesh_end.get(), "question");
  leaving.served.Say(leaving.served.mesh_end.get(), leaving.served.app_end.get(), "answer");
  leaving.Begin();
  CHECK(leaving.Seen() == EAGAIN);
  leaving.clock.RunUntil(leaving.loop(), [&] { return leaving.served.live->relay().ended(); });
  CHECK(leaving.loop().now() - leaving.began >= kQuiet - 1ms);
  CHECK(leaving.loop().now() - leaving.began < kGrace);
  CHECK(leaving.Seen() == 0);
  leaving.Ended();
}

TEST_CASE("farewell: one that is owed an answer is reset when the grace is over") {
  Leaving leaving;
  leaving.served.Say(leaving.served.app_end.get(), leaving.served.mesh_end.get(), "question");
  leaving.Begin();
  CHECK(leaving.Ended() >= kGrace);
  leaving.served.app_leg.reset();
  CHECK(leaving.Seen() == ECONNRESET);
}

TEST_CASE("farewell: where silence ends nothing, it ends when the grace is over, and cleanly") {
  Leaving leaving;
  leaving.clock.Skip(leaving.loop(), kQuiet);
  leaving.Begin(0ms);
  CHECK_FALSE(leaving.served.live->relay().ended());
  leaving.clock.RunUntil(leaving.loop(), [&] { return leaving.served.live->relay().ended(); });
  CHECK(leaving.loop().now() - leaving.began >= kGrace);
  CHECK(leaving.Seen() == 0);
  leaving.Ended();
}

TEST_CASE("farewell: one that is taken back leaves the session alone") {
  Leaving leaving;
  leaving.served.Say(leaving.served.app_end.get(), leaving.served.mesh_end.get(), "question");
  leaving.Begin();
  leaving.farewell.reset();
  bool late = false;
  net::Timer after(leaving.loop(), [&] { late = true; });
  after.Start(kGrace + 1s);
  leaving.clock.RunUntil(leaving.loop(), [&] { return late; });
  CHECK_FALSE(leaving.served.ended);
  leaving.served.Say(leaving.served.mesh_end.get(), leaving.served.app_end.get(), "answer");
}
