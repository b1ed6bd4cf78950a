// How much of the cores a hypervisor gives to others: on a shared machine that, more than any
// proxy, makes a latency's tail.
#pragma once

#include <unistd.h>

#include <array>
#include <fstream>
#include <string>

namespace mooring::bench {

// Stolen is the time since the boot, in core-seconds, in which a core had work and the hypervisor
// ran something else; in steps of 0.01, and 0 on a machine of its own. Source: proc(5), /proc/stat,
// "steal".
inline double Stolen() {
  std::ifstream file("/proc/stat");
  std::string name;
  std::array<long, 8> ticks{};  // user, nice, system, idle, iowait, irq, softirq, steal
  file >> name;
  for (long& value : ticks) file >> value;
  return file ? static_cast<double>(ticks.back()) / static_cast<double>(sysconf(_SC_CLK_TCK)) : 0;
}

inline double Cores() { return static_cast<double>(sysconf(_SC_NPROCESSORS_ONLN)); }

}  // namespace mooring::bench
