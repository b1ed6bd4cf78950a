// Chain: the discovery chain of a service, compiled from the entries service-resolver: the default
// one, redirects, subsets, failover. Routers, splitters and peers are unknown here. Pure. Source:
// the answers of Consul 1.21 to /v1/discovery-chain.
#pragma once

#include <string>

#include "authz/result.h"
#include "proxy/dev/config_entries.h"

namespace mooring::dev {

// CompileChain is the Chain of an answer, but for its virtual addresses. `datacenter` is the one
// that it is compiled for. Errors in Consul's words: redirects in a circle, an unknown subset.
Result<Json> CompileChain(const std::string& service, const std::string& datacenter,
                          const std::string& trust_domain, const ConfigEntries& entries);

}  // namespace mooring::dev
