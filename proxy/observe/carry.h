// Carried: what earlier processes of this sidecar have counted, so that a counter goes on where it
// was when a successor takes over, and nothing that an old generation still counts is lost.
//
// A process that hands over says what it has counted, and goes on to say what has changed; the
// newest adds it to its own at each scrape. Counters and histograms of one that has ended stay;
// gauges (connections that are open) end with it. Pure; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "proxy/observe/families.h"

namespace mooring::observe {

// Counts are samples by the name of their family, and there by what stands behind the name in
// Prometheus's text format: `_count{service="web"}`.
using Counts = std::map<std::string, std::map<std::string, double>, std::less<>>;

// IsCarried: samples of several processes add up to what the sidecar has counted, or has now.
bool IsCarried(const Family& family);

// Changed is what is in `now` and not, or otherwise, in `before`.
Counts Changed(const Counts& before, const Counts& now);

class Carried final {
 public:
  // Take adds to what the process of that number has said. Families that are unknown, or are not
  // carried, are ignored.
  void Take(std::int64_t process, const Counts& changed);
  // Forget: that process has ended.
  void Forget(std::int64_t process);
  // Ended is what those have counted that have ended: nobody else tells it any more.
  Counts Ended() const;
  // Of is the sum over all processes; null: there is none.
  const std::map<std::string, double>* Of(const Family& family) const;

 private:
  void Add(const std::string& family, const std::string& sample, double value);

  std::map<std::int64_t, Counts> said_;  // of those that live
  Counts sum_;
};

}  // namespace mooring::observe
