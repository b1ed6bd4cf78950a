// Parts of /status that both of its forms have. Control thread.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "proxy/control/watch.h"
#include "proxy/data/endpoint.h"
#include "proxy/net/clock.h"

namespace mooring::sidecar {

nlohmann::json WatchJson(const control::Watch& watch, net::MonotonicTime now);

// EndpointJson says what was met with at an endpoint, and why the last attempt that failed did.
nlohmann::json EndpointJson(const data::Endpoint& endpoint, net::MonotonicTime now);

// InstanceJson is what the catalog calls it; null for null.
nlohmann::json InstanceJson(const data::Instance* instance);

}  // namespace mooring::sidecar
