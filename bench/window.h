// Window: a stretch of time in which loads are counted and the CPU time of groups is taken.
#pragma once

#include <algorithm>
#include <map>
#include <span>
#include <string>

#include "bench/event_loop.h"
#include "bench/groups.h"
#include "bench/loads.h"
#include "bench/stolen.h"

namespace mooring::bench {

struct Window {
  double seconds = 0;
  double stolen = 0;                  // share of the cores' time that the hypervisor gave to others
  std::map<std::string, double> cpu;  // seconds used by each group
};

// RunUntil serves the loads until the deadline, or until `enough` says so.
template <typename Enough>
void RunUntil(EventLoop& loop, std::span<Load* const> loads, Time deadline, Enough enough) {
  while (Clock::now() < deadline && !enough()) {
    Time next = deadline;
    for (Load* load : loads) {
      load->Tick(Clock::now());
      next = std::min(next, load->next_tick());
    }
    loop.Once(next);
  }
}

inline void RunFor(EventLoop& loop, std::span<Load* const> loads, double seconds) {
  RunUntil(loop, loads, Clock::now() + Duration(seconds), [] { return false; });
}

inline std::map<std::string, double> Difference(const std::map<std::string, double>& before,
                                                std::map<std::string, double> after) {
  for (auto& [name, value] : after) value -= before.at(name);
  return after;
}

// Measure runs loads that have begun; only those in `counted` count.
inline Window Measure(EventLoop& loop, const Groups& groups, std::span<Load* const> loads,
                      std::span<Load* const> counted, double warm, double seconds) {
  RunFor(loop, loads, warm);
  for (Load* load : counted) load->set_counting(true);
  const Time begin = Clock::now();
  const auto before = groups.Cpu();
  const double stolen = Stolen();
  RunFor(loop, loads, seconds);
  const Time end = Clock::now();
  auto cpu = Difference(before, groups.Cpu());
  for (Load* load : counted) load->set_counting(false);
  return {.seconds = Seconds(end - begin),
          .stolen = (Stolen() - stolen) / (Cores() * Seconds(end - begin)),
          .cpu = std::move(cpu)};
}

}  // namespace mooring::bench
