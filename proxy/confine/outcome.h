// Outcome: whether the kernel holds the process to one thing, and if not, why. A plain value.
#pragma once

#include <string>

namespace mooring::confine {

struct Outcome {
  bool holds = false;
  std::string why;  // it does not; empty where it does

  static Outcome Holds() { return {.holds = true, .why = {}}; }
  static Outcome Not(std::string why) { return {.holds = false, .why = std::move(why)}; }
  // Failed: a call has set errno. ENOSYS, and what kernels and containers answer in its place, is
  // said as what it is: this kernel has none, or does not let us.
  static Outcome Failed(const std::string& what, int error);
};

}  // namespace mooring::confine
