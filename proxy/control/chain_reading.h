// ReadChain: what a compiled discovery chain comes to for a proxy at L4: targets, in the order in
// which they stand in for each other, and what of the chain is not followed, in words.
//
// A target that cannot be called from here (a peer's, one of another namespace) is left out where
// it only stands in. If it is the first, where connections are meant to go, the chain leads
// nowhere: they would go to a stand-in for good, by nobody's decision. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "authz/consul/api.h"
#include "authz/spiffe.h"
#include "proxy/config/settings.h"
#include "proxy/control/upstream_source.h"

namespace mooring::control {

struct ChainReading {
  std::vector<UpstreamSource::Target> targets;       // none twice; empty: it leads nowhere
  std::optional<net::milliseconds> connect_timeout;  // nothing: Consul's default
  std::vector<std::string> beyond;                   // what of it is not followed
};

// `own` is who we are; null while that is not known, and then every namespace may be ours.
ChainReading ReadChain(const authz::Chain& chain, const config::UpstreamSettings& upstream,
                       const authz::ServiceId* own);

// Itself is the target of an upstream without a chain: what its name says.
UpstreamSource::Target Itself(const config::UpstreamSettings& upstream);

// MakesNoSense: by this error the servers know the chain, and object to it. Any other is an outage.
bool MakesNoSense(const std::string& error);

}  // namespace mooring::control
