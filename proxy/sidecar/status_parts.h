// Parts of /status that both of its forms have. Control thread.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "proxy/control/listener_set.h"
#include "proxy/control/upstream_route.h"
#include "proxy/control/watch.h"
#include "proxy/data/snapshot.h"
#include "proxy/net/clock.h"
#include "proxy/sidecar/limit_view.h"

namespace mooring::sidecar {

// Written is ASCII, so that a document can be looked at on a terminal, whatever an agent or a peer
// is called.
std::string Written(const nlohmann::json& document);
std::string WrittenInOneLine(const nlohmann::json& document);

nlohmann::json ListenerJson(const control::ListenerSet::View& view, net::MonotonicTime now);
nlohmann::json LimitJson(const LimitView& limit);
nlohmann::json WatchJson(const control::Watch& watch, net::MonotonicTime now);

// IsFailing: the last attempt there has failed, or it is ejected.
bool IsFailing(const data::Endpoint& endpoint);
// EjectedOf is how many of the endpoints are out of service. If it is all of them, all are tried.
std::size_t EjectedOf(const data::UpstreamRules& rules);
// EndpointsJson says what was met with at each endpoint, and why the last attempt that failed did:
// of `most` of them, those in trouble first.
nlohmann::json EndpointsJson(const data::UpstreamRules& rules, std::size_t most,
                             net::MonotonicTime now);

// CatalogJson says how an upstream follows the catalog, and which instances have left it: `most`.
nlohmann::json CatalogJson(const control::UpstreamRoute& source, std::size_t most);

// InstanceJson is what the catalog calls it; null for null.
nlohmann::json InstanceJson(const data::Instance* instance);

}  // namespace mooring::sidecar
