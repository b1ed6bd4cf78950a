// CentralConfig: what proxy-defaults and service-defaults add to a registered sidecar, as the agent
// answers it. What the registration says goes before. Pure.
#pragma once

#include <string>

#include "proxy/dev/config_entries.h"
#include "proxy/dev/state.h"

namespace mooring::dev {

// MergedProxy is the service's Proxy with the config entries in it; as it is for what is no
// sidecar.
Json MergedProxy(const Service& service, const ConfigEntries& entries);

// ProtocolOf is that of a service by the entries: its own, or that of all, or tcp.
std::string ProtocolOf(const std::string& service, const ConfigEntries& entries);
// MeshGatewayOf is {"Mode": ...} of a service by the entries, or {}.
Json MeshGatewayOf(const std::string& service, const ConfigEntries& entries);

}  // namespace mooring::dev
