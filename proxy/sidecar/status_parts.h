// Parts of /status that both of its forms have. Control thread.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>

#include "proxy/control/watch.h"
#include "proxy/data/snapshot.h"
#include "proxy/net/clock.h"

namespace mooring::sidecar {

nlohmann::json WatchJson(const control::Watch& watch, net::MonotonicTime now);

// IsFailing: the last attempt there has failed.
bool IsFailing(const data::Endpoint& endpoint);
// EndpointsJson says what was met with at each endpoint, and why the last attempt that failed did:
// of `most` of them, those in trouble first.
nlohmann::json EndpointsJson(const data::UpstreamRules& rules, std::size_t most,
                             net::MonotonicTime now);

// InstanceJson is what the catalog calls it; null for null.
nlohmann::json InstanceJson(const data::Instance* instance);

}  // namespace mooring::sidecar
