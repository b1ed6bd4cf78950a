#include "proxy/control/turns.h"

#include <doctest/doctest.h>

#include <chrono>
#include <list>

#include "proxy/control/admission.h"

namespace mooring::control {
namespace {

using namespace std::chrono_literals;
using Trouble = http::Client::Trouble;

// Upstream is a player whose last use the test sets.
struct Upstream {
  explicit Upstream(Turns& turns) : player(turns, [this] { return used; }) {}
  net::MonotonicTime used{};
  Turns::Player player;
};

// Table seats each of these that may sit, in this order, and counts them.
std::size_t Seat(std::list<Upstream>& upstreams) {
  std::size_t sitting = 0;
  for (Upstream& one : upstreams) {
    if (!one.player.MayWait()) continue;
    one.player.Sit();
    ++sitting;
  }
  return sitting;
}

const net::MonotonicTime kNow = net::MonotonicTime{} + 1h;

TEST_CASE("turns: with a seat for each upstream all wait") {
  Turns turns(3);
  std::list<Upstream> upstreams;
  for (int i = 0; i < 3; ++i) upstreams.emplace_back(turns);
  CHECK_FALSE(turns.Contended());
  CHECK(Seat(upstreams) == 3);
}

TEST_CASE("turns: never more sit than there are seats, and none stands while a seat is free") {
  Turns turns(3);
  std::list<Upstream> upstreams;
  for (int i = 0; i < 230; ++i) upstreams.emplace_back(turns);
  CHECK(turns.Contended());
  CHECK(Seat(upstreams) == 3);
  upstreams.front().player.StandUp();
  CHECK(upstreams.back().player.MayWait());
}

TEST_CASE("turns: a seat that gets free is for who was in use last") {
  Turns turns(2);
  std::list<Upstream> upstreams;
  for (int i = 0; i < 5; ++i) upstreams.emplace_back(turns);
  CHECK(Seat(upstreams) == 2);
  Upstream& busy = upstreams.back();
  Upstream& older = *std::prev(upstreams.end(), 2);
  Upstream& first = upstreams.front();
  older.used = kNow;
  busy.used = kNow + 1s;
  // Nobody is made to stand up.
  CHECK_FALSE(busy.player.MayWait());
  first.player.StandUp();
  CHECK_FALSE(first.player.MayWait());
  CHECK_FALSE(older.player.MayWait());
  CHECK(busy.player.MayWait());
  busy.player.Sit();
  CHECK_FALSE(older.player.MayWait());
  // Who sits and was in use later than all who stand sits again.
  busy.player.StandUp();
  CHECK(busy.player.MayWait());
  CHECK_FALSE(older.player.MayWait());
}

TEST_CASE("turns: an upstream that goes leaves its seat to another") {
  Turns turns(1);
  std::list<Upstream> upstreams;
  for (int i = 0; i < 3; ++i) upstreams.emplace_back(turns);
  CHECK(Seat(upstreams) == 1);
  CHECK_FALSE(upstreams.back().player.MayWait());
  upstreams.pop_front();
  CHECK(upstreams.back().player.MayWait());
  upstreams.pop_front();
  CHECK_FALSE(turns.Contended());
}

TEST_CASE("turns: a guest sits where a seat is free, wants it, and makes nobody stand") {
  Turns turns(3);
  std::list<Upstream> upstreams;
  bool wants = false;
  Turns::Player guest(turns, [&wants] { return wants; });
  Turns::Player another(turns, [] { return true; });
  upstreams.emplace_back(turns);
  CHECK(turns.players() == 1);
  CHECK(turns.guests() == 2);
  CHECK_FALSE(guest.MayWait());
  CHECK(turns.Wanted() == 1);
  wants = true;
  CHECK(guest.MayWait());
  guest.Sit();
  CHECK(another.MayWait());
  another.Sit();
  CHECK(turns.Wanted() == 3);
  // Guests do not make upstreams take turns, and one that comes may wait as if they were not there.
  upstreams.emplace_back(turns);
  upstreams.emplace_back(turns);
  CHECK_FALSE(turns.Contended());
  CHECK(upstreams.back().player.MayWait());
  // Their seats go to it when their queries, brief from now on, are over.
  for (Turns::Player* one : {&guest, &another}) {
    CHECK(one->Brief());
    one->StandUp();
    CHECK_FALSE(one->MayWait());
  }
}

TEST_CASE("turns: a guest leaves a connection that is to be had to an upstream that lacks one") {
  Turns turns(3);
  std::list<Upstream> upstreams;
  upstreams.emplace_back(turns);
  Turns::Player guest(turns, [] { return true; });
  CHECK(guest.MayWait());
  upstreams.back().player.Lacks(true);
  CHECK_FALSE(guest.MayWait());
  upstreams.back().player.Lacks(false);
  CHECK(guest.MayWait());
  CHECK_FALSE(guest.Brief());  // a third seat is left
}

TEST_CASE("turns: of many upstreams and guests no guest sits, and the seats are the upstreams'") {
  Turns turns(3);
  std::list<Upstream> upstreams;
  std::list<Turns::Player> guests;
  for (int i = 0; i < 230; ++i) {
    guests.emplace_back(turns, [] { return true; });
    upstreams.emplace_back(turns);
  }
  for (Turns::Player& guest : guests) CHECK_FALSE(guest.MayWait());
  CHECK(Seat(upstreams) == 3);
  for (Turns::Player& guest : guests) CHECK_FALSE(guest.MayWait());
}

TEST_CASE(
    "admission: a 429 is evidence; a connection that ends is one only in a row, and while others "
    "live") {
  Admission by_answer(1);
  by_answer.NoteTurnedAway(Trouble::kTooMany, false, kNow);
  CHECK(by_answer.Full());
  Admission alone(1);
  for (int i = 0; i < 5; ++i) alone.NoteTurnedAway(Trouble::kUnanswered, false, kNow);
  CHECK(alone.TurnedAway());
  CHECK_FALSE(alone.Full());
  Admission beside(1);
  beside.NoteTurnedAway(Trouble::kUnanswered, true, kNow);
  CHECK_FALSE(beside.Full());
  beside.NoteTurnedAway(Trouble::kUnanswered, true, kNow);
  CHECK(beside.Full());
  beside.NoteAdmitted();
  CHECK_FALSE(beside.Full());
  CHECK_FALSE(beside.TurnedAway());
}

TEST_CASE(
    "admission: where connections are turned away one is tried at a time, and never two within a "
    "second") {
  Admission admission(7);
  CHECK(admission.MayOpen(kNow, 5));
  net::MonotonicTime now = kNow;
  for (int i = 0; i < 20; ++i) {
    admission.NoteTurnedAway(Trouble::kTooMany, false, now);
    CHECK_FALSE(admission.MayOpen(now + 999ms, 0));
    CHECK(admission.MayOpen(now + 8s, 0));
    CHECK_FALSE(admission.MayOpen(now + 8s, 1));
    now += 8s;
  }
  admission.NoteAdmitted();
  CHECK(admission.MayOpen(now, 3));
}

}  // namespace
}  // namespace mooring::control
