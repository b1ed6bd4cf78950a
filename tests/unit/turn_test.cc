// The scheduling policy of a loop, and what a stream's reads make of it. Time is an argument.
#include "proxy/net/turn.h"

#include <doctest/doctest.h>

#include "proxy/net/load.h"

namespace {

using namespace mooring;
using net::Load;

constexpr net::MonotonicTime kNow{net::milliseconds(1'000)};

void Note(net::LoadMeter& meter, std::size_t bytes, int times = 1) {
  for (int i = 0; i < times; ++i) meter.Note(bytes);
}

}  // namespace

TEST_CASE("turn: it is full once it has moved its bytes, and the next one is not") {
  net::Turn turn;
  CHECK(turn.Begin(kNow) == 0);
  turn.NoteMoved(net::kTurnBytes - 1);
  CHECK(!turn.IsFull(kNow));
  turn.NoteMoved(1);
  CHECK(turn.IsFull(kNow));
  (void)turn.Begin(kNow);
  CHECK(!turn.IsFull(kNow));
}

TEST_CASE(
    "turn: while turns are full each begins one place later, and the first that is not begins at "
    "the front") {
  net::Turn turn;
  for (std::size_t place = 0; place < 5; ++place) {
    CHECK(turn.Begin(kNow) == place);
    turn.NoteMoved(net::kTurnBytes);
  }
  CHECK(turn.Begin(kNow) == 5);
  CHECK(turn.Begin(kNow) == 0);
}

TEST_CASE("turn: it is shorter where a small message has passed, for a while") {
  net::Turn turn;
  (void)turn.Begin(kNow);
  turn.NoteMoved(net::kLightTurnBytes);
  CHECK(!turn.IsFull(kNow));
  turn.NoteLight(kNow);
  CHECK(turn.ServesLight(kNow));
  CHECK(turn.IsFull(kNow));
  const auto last = kNow + net::kLightFor - net::milliseconds(1);
  CHECK(turn.IsFull(last));
  CHECK(!turn.ServesLight(last + net::milliseconds(1)));
  CHECK(!turn.IsFull(last + net::milliseconds(1)));
}

TEST_CASE("load: a stream is light until a read is large, and again after many small ones") {
  net::LoadMeter meter;
  CHECK(meter.load() == Load::kLight);
  Note(meter, net::LoadMeter::kSmallRead, 100);
  CHECK(meter.load() == Load::kLight);
  Note(meter, net::LoadMeter::kSmallRead + 1);
  CHECK(meter.load() == Load::kMedium);
  Note(meter, 1, net::LoadMeter::kLightReads - 1);
  CHECK(meter.load() == Load::kMedium);
  Note(meter, 1);
  CHECK(meter.load() == Load::kLight);
}

TEST_CASE("load: heavy is the last read alone") {
  net::LoadMeter meter;
  Note(meter, net::LoadMeter::kHeavyRead - 1);
  CHECK(meter.load() == Load::kMedium);
  Note(meter, net::LoadMeter::kHeavyRead);
  CHECK(meter.load() == Load::kHeavy);
  Note(meter, 1);
  CHECK(meter.load() == Load::kMedium);
}

TEST_CASE("load: a full burst makes a bulk stream, and a quarter of one keeps it") {
  net::LoadMeter meter;
  Note(meter, net::LoadMeter::kFullBurst - 1);
  CHECK(meter.load() == Load::kHeavy);
  Note(meter, net::LoadMeter::kFullBurst);
  CHECK(meter.load() == Load::kBulk);
  Note(meter, net::LoadMeter::kFullBurst / 4);
  CHECK(meter.load() == Load::kBulk);
  Note(meter, net::LoadMeter::kFullBurst / 4 - 1);
  CHECK(meter.load() == Load::kHeavy);
  Note(meter, net::LoadMeter::kFullBurst / 4);
  CHECK(meter.load() == Load::kHeavy);
}
