// Simulation: the connections of one service to an upstream, some of whose instances are slow and
// some of which fail for a while, in simulated time.
//
// What chooses and what remembers is the program's own (proxy/data/upstream.h), on two workers. The
// search is a model of the program's: no sockets, no TLS, no budget of retries. The same seed gives
// the same outcome.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "proxy/data/balance.h"

namespace mooring::bench {

// Method is how an instance is found.
struct Method {
  // kOnce: one attempt; kInTurn: the next one when the one before has failed or used its share of
  // the deadline; kOverlapping: the next one when it has failed, or after attempt_delay beside it.
  enum class Search { kOnce, kInTurn, kOverlapping };

  std::string name;
  data::Balance balance = data::Balance::kLeastConnections;
  bool ejects = true;
  Search search = Search::kOverlapping;
};

// World is what is searched in. Of the instances the first are slow, those after them fail.
struct World {
  std::size_t instances = 5;
  std::size_t slow = 1;
  std::size_t failing = 1;  // every other one refuses, the others do not answer at all
  double rate = 100;        // connections begun a second
  std::chrono::seconds length{60};
  std::chrono::seconds fails_from{10}, fails_until{40};
};

struct Outcome {
  std::size_t connections = 0;
  std::size_t errors = 0;                       // of them: nobody was reached in time
  std::size_t dials = 0;                        // attempts and probes
  std::size_t first_failing = 0;                // first attempts that met one that fails
  std::vector<std::chrono::microseconds> took;  // to the proof, of the others, sorted
  std::vector<std::size_t> served;              // connections, by instance
  std::vector<std::size_t> most_open;           // at a time, by instance
  std::int64_t ejections = 0;

  // At is the time below which this part of the connections was.
  std::chrono::microseconds At(double part) const;
};

Outcome Simulate(const World& world, const Method& method, std::uint64_t seed);

}  // namespace mooring::bench
