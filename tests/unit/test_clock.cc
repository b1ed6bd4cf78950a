#include "tests/unit/test_clock.h"

#include <doctest/doctest.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include <cstdint>
#include <string>

namespace {

constexpr std::int64_t kNanoseconds = 1'000'000'000;

thread_local std::chrono::nanoseconds skipped{0};
thread_local bool alive = false;
thread_local bool quiet = true;  // since it was set, no event has come

}  // namespace

// The C library's own, for the whole test program. The system call is made by hand, for the
// function that it stands for cannot be asked.
extern "C" int clock_gettime(clockid_t clock, struct timespec* at) noexcept {
  const int result = static_cast<int>(syscall(SYS_clock_gettime, clock, at));
  if (result != 0 || (clock != CLOCK_MONOTONIC && clock != CLOCK_MONOTONIC_COARSE)) return result;
  const std::int64_t sum = at->tv_nsec + skipped.count();
  at->tv_sec += sum / kNanoseconds;
  at->tv_nsec = sum % kNanoseconds;
  return result;
}

// Likewise, to hear of events: the loop's own set is nobody else's to ask.
extern "C" int epoll_wait(int set, struct epoll_event* events, int most, int timeout) {
  const auto count =
      static_cast<int>(syscall(SYS_epoll_pwait, set, events, most, timeout, nullptr, 0));
  if (count != 0) quiet = false;
  return count;
}

namespace mooring::test {
namespace {

// Passes of the loop without an event, one after the other, before it counts as quiet: what one
// pass sends over loopback, the next one receives.
constexpr int kQuietPasses = 3;
constexpr std::chrono::hours kTooLong{1};

void Pass(net::Loop& loop) {
  loop.Defer([&loop] { loop.Stop(); });
  loop.Run();
}

}  // namespace

Clock::Clock() {
  REQUIRE_FALSE(alive);
  alive = true;
}

Clock::~Clock() {
  alive = false;
  skipped = {};
}

void Clock::Skip(net::Loop& loop, std::chrono::milliseconds time) {
  skipped += time;
  uv_update_time(loop.raw());
}

void Clock::RunUntil(net::Loop& loop, const std::function<bool()>& done) {
  const std::chrono::nanoseconds from = skipped;
  while (!done()) {
    for (int i = 0; i < kQuietPasses && !done();) {
      quiet = true;
      Pass(loop);
      i = quiet ? i + 1 : 0;
    }
    if (done()) return;
    // milliseconds to the next timer; -1: there is none
    const int next = uv_backend_timeout(loop.raw());
    REQUIRE(next >= 0);
    Skip(loop, std::chrono::milliseconds(next));
    REQUIRE(skipped - from < kTooLong);
  }
}

}  // namespace mooring::test

TEST_CASE("test clock: a timer of minutes is due at once, and in its order") {
  using namespace std::chrono_literals;
  mooring::test::Clock clock;
  mooring::net::Loop loop;
  const auto began = loop.now();
  std::string order;
  mooring::net::Timer late(loop, [&] { order += "b"; });
  mooring::net::Timer early(loop, [&] { order += "a"; });
  late.Start(600'000ms);
  early.Start(599'000ms);
  clock.RunUntil(loop, [&] { return order.size() == 2; });
  CHECK(order == "ab");
  CHECK(loop.now() - began >= 600s);
  CHECK(loop.now() - began < 602s);
  CHECK(std::chrono::steady_clock::now() - began >= 600s);
}
