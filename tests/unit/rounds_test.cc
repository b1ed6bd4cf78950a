// Rounds: everything is visited once in a round, never too much at once, whatever joins and leaves
// meanwhile.
#include <doctest/doctest.h>

#include <chrono>
#include <list>
#include <map>
#include <random>
#include <vector>

#include "proxy/data/rounds.h"

namespace {

using namespace mooring;
using std::chrono::milliseconds;
using Numbers = data::Rounds<int>;

// Round makes the calls of one round and returns how many there were.
int Round(Numbers& rounds, std::map<int, int>& visits, const std::list<int>& list) {
  int calls = 0;
  int visited = 0;
  do {
    std::size_t at_once = 0;
    const bool first = rounds.Next([&](int number) {
      ++visits[number];
      ++visited;
      ++at_once;
    });
    CHECK(first == (calls == 0));
    CHECK(at_once <= Numbers::kAtOnce);
    ++calls;
  } while (visited < static_cast<int>(list.size()));
  return calls;
}

}  // namespace

TEST_CASE("a round visits each element once, a few at a time, and takes as long as it should") {
  for (const int size : {0, 1, 127, 128, 129, 1000, 9000}) {
    CAPTURE(size);
    std::list<int> list;
    for (int i = 0; i < size; ++i) list.push_back(i);
    Numbers rounds(list);
    std::map<int, int> visits;
    for (int round = 1; round <= 2; ++round) {
      const int calls = Round(rounds, visits, list);
      CHECK(static_cast<int>(visits.size()) == size);
      for (const auto& [number, count] : visits) CHECK(count == round);
      const milliseconds takes = calls * rounds.Pause(milliseconds(5000));
      CHECK(takes >= milliseconds(4900));
      CHECK(takes <= milliseconds(5000));
    }
  }
  std::list<int> few(static_cast<std::size_t>(Numbers::kAtOnce), 1);
  CHECK(Numbers(few).Pause(milliseconds(5000)) == milliseconds(5000));
}

TEST_CASE(
    "elements may join and leave between two calls: each that stays is visited once in a round") {
  std::mt19937 random(7);
  std::list<int> list;
  for (int i = 0; i < 3000; ++i) list.push_back(i);
  Numbers rounds(list);
  std::map<int, int> visits;
  int joined = 3000;
  // The first call of the next round ends this one.
  for (bool begun = false;; begun = true) {
    std::vector<int> seen;
    const bool first = rounds.Next([&](int number) { seen.push_back(number); });
    if (begun && first) break;
    for (const int number : seen) ++visits[number];
    for (int change = 0; change < 30; ++change) {
      list.push_front(joined++);
      const auto leaving = std::next(list.begin(), static_cast<long>(random() % list.size()));
      rounds.Leaving(leaving);
      list.erase(leaving);
    }
  }
  for (const auto& [number, count] : visits) CHECK(count == 1);
  for (const int number : list) {
    if (number < 3000) CHECK(visits[number] == 1);
  }
}
