#include "proxy/cli/dev_command.h"
#include "proxy/dev/dev.h"

namespace mooring::cli {

int Dev(const Invocation& invocation) { return dev::RunDev(invocation.arguments); }

std::string DevUsage() { return dev::DevUsage(); }

}  // namespace mooring::cli
