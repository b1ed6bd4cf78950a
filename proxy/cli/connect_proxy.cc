#include <cstdio>
#include <cstring>

#include "proxy/cli/commands.h"
#include "proxy/cli/start.h"
#include "proxy/config/exit_code.h"
#include "proxy/config/flags.h"

namespace mooring::cli {

int ConnectProxy(const Invocation& invocation) {
  auto parsed = config::ParseConnectProxy(invocation.arguments, invocation.environment);
  if (!parsed) {
    CannotStart(config::AsksForJson(invocation.arguments), parsed.error().message);
    return config::kBadConfiguration;
  }
  // From here on /proc and ps show no secret. The length stays: it tells next to nothing.
  for (const int index : parsed->secret_arguments) {
    char* argument = invocation.argv[index];
    char* secret = argument;
    if (argument[0] == '-') {
      if (char* equals = std::strchr(argument, '='); equals != nullptr) secret = equals + 1;
    }
    std::memset(secret, 'x', std::strlen(secret));
  }
  if (parsed->help) {
    std::fputs(config::ConnectProxyUsage().c_str(), stdout);
    return 0;
  }
  parsed->settings.arguments = CommandLine(invocation);
  return Start(std::move(parsed->settings));
}

}  // namespace mooring::cli
