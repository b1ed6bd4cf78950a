// A shortage costs one connection: each allocation in its life fails, or the kernel watches none of
// its sockets, and the worker, the other connections and the descriptors are as if it had never
// been.
#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "tests/unit/counted_calls.h"
#include "tests/unit/failing_new.h"
#include "tests/unit/shortage_fixture.h"

namespace {

using namespace mooring;
using data::CloseReason;
using test::Client;
using test::FailingNew;
using test::Sidecars;

constexpr std::size_t kLast = 5'000;

// Full: MOORING_FULL_LENGTH is set, and no allocation is left out.
bool Full() { return std::getenv("MOORING_FULL_LENGTH") != nullptr; }

// Numbers are those of the allocations that fail, one a life. `most` is how many a life has.
std::vector<std::size_t> Numbers(std::size_t most) {
  std::vector<std::size_t> numbers;
  const std::size_t end = Full() ? kLast : most + 2;
  const std::size_t step = Full() ? 1 : std::max<std::size_t>(1, most / 60);
  for (std::size_t n = 1; n <= end; n += n < 20 ? 1 : step) numbers.push_back(n);
  return numbers;
}

void Arm(data::ServiceHost& worker, std::size_t n, std::size_t count) {
  test::OnThreadOf(worker, [=] { FailingNew::Arm(n, count); });
}

FailingNew::Told Lift(data::ServiceHost& worker) {
  FailingNew::Told told;
  test::OnThreadOf(worker, [&] { told = FailingNew::Lift(); });
  return told;
}

// Starve lets allocations of one worker fail during one life after the other. `fresh` makes each
// handshake a full one.
void Starve(Sidecars& sidecars, data::ServiceHost& worker, bool fresh, std::size_t count) {
  const bool inbound = &worker == &sidecars.service;
  const data::DirectionStats& stats = inbound ? worker.stats().inbound : worker.stats().outbound;
  const auto begin = [&] {
    if (fresh) sidecars.TellCaller();
    test::OnThreadOf(sidecars.caller, [] {});
  };
  // One life without a failure says how many there can be.
  REQUIRE(Client(sidecars).Live());
  begin();
  Arm(worker, 0, 0);
  REQUIRE(Client(sidecars).Live());
  const std::size_t most = Lift(worker).asked;
  REQUIRE(most > 10);
  REQUIRE(test::Within([&] { return sidecars.Active() == 0; }));
  const std::size_t files = test::OpenFiles();
  std::size_t fired = 0, lost = 0;
  const std::int64_t starved = Sidecars::Closed(stats, CloseReason::kOutOfResources);
  for (const std::size_t n : Numbers(most)) {
    CAPTURE(n);
    begin();
    Arm(worker, n, count);
    const bool lived = Client(sidecars).Live();
    const FailingNew::Told told = Lift(worker);
    fired += told.failed > 0 ? 1 : 0;
    lost += lived ? 0 : 1;
    if (told.failed == 0) CHECK(lived);
    CHECK(Client(sidecars).Live());
    REQUIRE(test::Within([&] { return sidecars.Active() == 0; }));
  }
  CHECK(fired > 10);
  CHECK(lost > 0);
  CHECK(Sidecars::Closed(stats, CloseReason::kOutOfResources) > starved);
  CHECK(Sidecars::Closed(stats, CloseReason::kInternalError) == 0);
  std::string reasons;
  for (std::size_t i = 0; i < data::kCloseReasons; ++i) {
    const auto reason = static_cast<CloseReason>(i);
    if (Sidecars::Closed(stats, reason) > 0) {
      reasons += std::string(data::CloseReasonName(reason)) + " " +
                 std::to_string(Sidecars::Closed(stats, reason)) + ", ";
    }
  }
  const std::string kind = std::string(inbound ? "inbound" : "outbound") +
                           (fresh ? ", full handshake" : ", resumed") +
                           (count == 1 ? ", one fails: " : ", all that follow fail: ");
  MESSAGE(kind, most, " allocations in a life, ", fired, " lives with a failure, ", lost,
          " ended by it; so far ", reasons);
  CHECK(test::Within([&] { return test::OpenFiles() <= files; }));
}

}  // namespace

TEST_CASE(
    "shortage: an allocation that fails costs one connection, whichever it is, inbound and "
    "outbound") {
  Sidecars sidecars;
  for (data::ServiceHost* worker : {&sidecars.caller, &sidecars.service}) {
    for (const bool fresh : {true, false}) {
      for (const std::size_t count : {std::size_t{1}, FailingNew::kAllThatFollow})
        Starve(sidecars, *worker, fresh, count);
    }
  }
}

TEST_CASE(
    "shortage: a connection that the kernel will not watch is lost, whichever of its sockets it "
    "is, and no other") {
  Sidecars sidecars;
  REQUIRE(Client(sidecars).Live());
  const Client standing(sidecars);
  REQUIRE(standing.Echo("before"));
  const std::size_t files = test::OpenFiles();
  for (const int error : {ENOSPC, ENOMEM}) {
    const auto lost = [&] {
      return Sidecars::Closed(sidecars.caller.stats().outbound, CloseReason::kOutOfResources) +
             Sidecars::Closed(sidecars.service.stats().inbound, CloseReason::kOutOfResources);
    };
    int ended = 0;
    // The app's socket, the caller's at the public listener, the one between: one of them less each
    // time.
    for (int spared = 0; spared < 4; ++spared) {
      CAPTURE(spared);
      const std::int64_t before = lost();
      {
        const test::NoWatches none(error, spared);
        const bool lived = Client(sidecars).Live();
        ended += lived ? 0 : 1;
        if (!lived) CHECK(test::Within([&] { return lost() > before; }));
        CHECK(standing.Echo("meanwhile"));
      }
      CHECK(Client(sidecars).Live());
      REQUIRE(test::Within([&] { return sidecars.Active() == 2; }));
    }
    CHECK(ended >= 3);
  }
  CHECK(test::Within([&] { return test::OpenFiles() <= files; }));
}

TEST_CASE("shortage: a listener that the kernel will not watch is not lost") {
  Sidecars sidecars;
  net::UniqueFd late;
  {
    const test::NoWatches none(ENOSPC);
    late = Sidecars::Open(sidecars.caller, "db", data::ListenerKind::kUpstream);
    REQUIRE(test::Within([&] { return sidecars.caller.stats().accept_pauses.value() > 0; }));
  }
  std::swap(sidecars.out, late);
  CHECK(Client(sidecars).Live());
}

TEST_CASE("shortage: a listener that there is no memory for is not lost") {
  Sidecars sidecars;
  for (std::size_t n = 1; n <= 12; ++n) {
    Arm(sidecars.caller, n, 1);
    net::UniqueFd late = Sidecars::Open(sidecars.caller, "db", data::ListenerKind::kUpstream);
    (void)Lift(sidecars.caller);
    std::swap(sidecars.out, late);
    CHECK(Client(sidecars).Live());
  }
}

TEST_CASE(
    "shortage: a loop without an epoll watch, and signals without one, are an error with a cure") {
  const std::size_t files = test::OpenFiles();
  for (int spared = 0; spared < 2; ++spared) {
    const test::NoWatches none(ENOSPC, spared);
    try {
      const net::Loop loop;
      FAIL("made without a watch");
    } catch (const std::system_error& error) {
      CHECK(net::Explain(error).find("fs.epoll.max_user_watches") != std::string::npos);
    }
  }
  CHECK(test::OpenFiles() == files);
}

namespace {

// Noted is a keeper that counts what escapes.
struct Noted final : net::Keeper {
  void OnEscaped() noexcept override {
    ++count;
    try {
      throw;
    } catch (const std::exception& error) {
      what = error.what();
    }
  }
  int count = 0;
  std::string what;
};

}  // namespace

TEST_CASE(
    "shortage: what escapes from a callback goes to the keeper that its timer was made for, else "
    "to the loop's") {
  net::Loop loop;
  Noted owner, other;
  loop.SetKeeper(&owner);
  std::optional<net::Timer> own, others;
  const auto escape = [](const char* what) { return [what] { throw std::runtime_error(what); }; };
  own.emplace(loop, escape("of the loop"));
  loop.Attend(&other, [&] { others.emplace(loop, escape("of another")); });
  own->Start(net::milliseconds(0));
  others->Start(net::milliseconds(0));
  loop.Post(escape("a task"));
  loop.Defer(escape("deferred"));
  test::RunUntil(loop, [&] { return owner.count == 3 && other.count == 1; });
  CHECK(other.what == "of another");
}

TEST_CASE("shortage: without a keeper, what escapes ends Run, and comes out of it") {
  net::Loop loop;
  loop.Post([] { throw std::runtime_error("a mistake"); });
  CHECK_THROWS_WITH(loop.Run(), "a mistake");
}

TEST_CASE(
    "shortage: a chore runs once after the events at hand, however often it was armed, and not "
    "after its end") {
  net::Loop loop;
  int runs = 0;
  net::Chore chore(loop, [&] { ++runs; });
  {
    net::Chore dropped(loop, [&] { runs += 100; });
    dropped.Arm();
    chore.Arm();
    chore.Arm();
  }
  test::RunUntil(loop, [&] { return runs > 0; });
  CHECK(runs == 1);
}
