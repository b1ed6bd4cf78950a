// The command `mooring dev`: in this program, or in one of its own beside it, mooring-dev, as the
// build option dev_agent says. dev_inside.cc and dev_beside.cc are the two.
#pragma once

#include <string>

#include "proxy/cli/commands.h"

namespace mooring::cli {

// Dev returns the exit code. Where the agent is a program of its own it is started in our place:
// the one beside ours, or else one that PATH has.
int Dev(const Invocation& invocation);

// DevUsage is what the agent takes. Where it is a program of its own, that one prints it in our
// place, and this returns only if it is not there.
std::string DevUsage();

}  // namespace mooring::cli
