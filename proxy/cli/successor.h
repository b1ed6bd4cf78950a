// Successor: a new process of this program that is to take the place of a running one. It is
// started from outside, by a command in the unit (ExecReload=): a process that serves executes
// nothing.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "authz/result.h"
#include "proxy/config/environment.h"
#include "proxy/handover/place.h"

namespace mooring::cli {

// Running is what a process says of itself (sidecar/handover_port.h, about).
struct Running {
  pid_t pid = 0;
  std::string version;
  std::int64_t generation = 0;
  std::string file;                    // that it was started from
  bool replaced = false;               // another file is there now
  bool managed = false;                // by a service manager
  std::vector<std::string> arguments;  // secrets included, as in its environment
  config::Environment environment;
  std::string folder;  // in which it works
};
// FindRunning asks who serves at a place; kNotFound: nobody does.
Result<Running> FindRunning(const handover::Place& place);

// StartSuccessor starts what is in that file now, by the arguments of the running one, in its
// folder, and with our environment if we belong to the same unit, else with its own. It waits until
// the new process serves, or has ended, or `within` has passed, when it is ended.
Result<Running> StartSuccessor(const handover::Place& place, const Running& running,
                               std::chrono::milliseconds within);

}  // namespace mooring::cli
