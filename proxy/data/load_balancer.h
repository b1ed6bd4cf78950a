// LoadBalancer: which endpoint of an upstream a connection is tried with.
//
// Pick asks it, Report tells it what came of that. What it goes by is in each endpoint's history,
// which the workers share; the rest of its state (whose turn it is) belongs to one worker, on its
// loop's thread. Knows no connection, no clock and no source of randomness: those are arguments.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_set>

#include "proxy/data/endpoint.h"
#include "proxy/data/endpoint_history.h"

namespace mooring::data {

// Choice is what one search has been given so far. The search owns it; Pick fills it in.
struct Choice {
  bool begun = false;
  std::uint64_t turn = 0;
  // The search's own: none of its attempts is under way any more. Where no other endpoint is left
  // it is then given those that are ejected, too.
  bool last_resort = false;
  std::shared_ptr<const EndpointHistory> last;  // of the endpoint that was given last
  // of those before: nearly always none
  std::unordered_set<std::shared_ptr<const EndpointHistory>> tried;
};

class LoadBalancer {
 public:
  virtual ~LoadBalancer() = default;

  // Use makes `endpoints` the list; each has its history. They must stay until the next Use. It
  // takes no memory.
  virtual void Use(std::span<const Endpoint> endpoints) noexcept = 0;
  // Pick is the endpoint to try next; null if this search has been given all of them. What it
  // returns is there until the next Use.
  virtual const Endpoint* Pick(Choice& choice) = 0;

  // Report says what came of an attempt, `took` after it began. A shortage of ours is not the
  // endpoint's doing: not to be reported.
  enum class Outcome { kProven, kFailed };
  void Report(const Endpoint& endpoint, Outcome outcome, std::chrono::microseconds took) noexcept {
    if (outcome == Outcome::kProven) {
      endpoint.history->Proven(took);
    } else {
      endpoint.history->Failed();
    }
  }
};

}  // namespace mooring::data
