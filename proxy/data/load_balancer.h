// LoadBalancer: which endpoint of an upstream an attempt is made at.
//
// What it goes by stands in each endpoint's history, which the workers share; the rest of its state
// (whose turn it is, its random numbers) belongs to one worker, on its loop's thread. Knows no
// connection and no clock: time is an argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_set>
#include <utility>

#include "proxy/data/endpoint.h"
#include "proxy/data/endpoint_history.h"
#include "proxy/net/clock.h"

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

// Among says which endpoints may be given now: of the first `count` of the list those that are not
// ejected, or all.
struct Among {
  std::size_t count = 0;
  bool ejected_too = false;
};

class LoadBalancer {
 public:
  enum class Outcome { kProven, kFailed };  // of an attempt

  virtual ~LoadBalancer() = default;

  // Use makes `endpoints` the list; each has its history. They must stay until the next Use. It
  // takes no memory.
  virtual void Use(std::span<const Endpoint> endpoints) noexcept = 0;
  // Pick is the endpoint to try next; null if this search has been given all of these. What it
  // returns is there until the next Use.
  const Endpoint* Pick(Choice& choice, const Among& among, net::MonotonicTime now) {
    if (choice.last) choice.tried.insert(std::exchange(choice.last, nullptr));
    const Endpoint* given = Choose(choice, among, now);
    if (given != nullptr) choice.last = given->history;
    return given;
  }

 protected:
  // Fits: it is none that the search has been given, and not ejected where those are not wanted.
  static bool Fits(const Choice& choice, const Among& among, const Endpoint& endpoint) {
    return (among.ejected_too || !endpoint.history->ejection().out()) &&
           (choice.tried.empty() || !choice.tried.contains(endpoint.history));
  }

 private:
  // Choose is one of the first `among.count` that fits; null if none does.
  virtual const Endpoint* Choose(Choice& choice, const Among& among, net::MonotonicTime now) = 0;
};

}  // namespace mooring::data
