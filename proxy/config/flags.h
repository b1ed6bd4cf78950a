// The command line and environment of `mooring connect proxy`: those of `consul connect proxy`,
// trap for trap.
//
// Reads nothing but the environment it is given: files named by flags are read later, by whoever
// uses them. Pure.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "authz/result.h"
#include "proxy/config/environment.h"
#include "proxy/config/flag_syntax.h"
#include "proxy/config/settings.h"

namespace mooring::config {

struct ParsedFlags {
  Settings settings;
  bool help = false;                  // -h, -help, --help; `settings` is then meaningless
  std::vector<int> secret_arguments;  // indexes in `arguments` that hold a secret (-token), to be
                                      // overwritten in argv
};

// ParseConnectProxy reads `arguments`, those after `connect proxy`. Go flag syntax: -x v, -x=v,
// --x; -b and -b=true for booleans; flags beat the environment. An error is the one line to print
// after `==> `.
Result<ParsedFlags> ParseConnectProxy(const std::vector<std::string>& arguments,
                                      const Environment& environment);

// AsksForJson: -log-json is among the arguments, whatever else is wrong with them.
bool AsksForJson(const std::vector<std::string>& arguments);

// ConnectProxyUsage is the text of -help.
std::string ConnectProxyUsage();

// ParseUpstreamFlag reads name[.service|.query]:[addr:]port. Beyond Consul, addr may be [v6], and
// `unix:/path` may stand for [addr:]port.
Result<UpstreamSettings> ParseUpstreamFlag(const std::string& text);

}  // namespace mooring::config
