// UpstreamMemory: what one service remembers of an upstream, and its workers share.
//
// One for each listener, of which it is: it outlives the upstream's settings and every list of its
// endpoints. The control thread makes it and hands its parts on in UpstreamRules; each part says
// who else may use it.
#pragma once

#include "proxy/data/endpoint_history.h"

namespace mooring::data {

struct UpstreamMemory {
  Histories histories;  // of its endpoints
};

}  // namespace mooring::data
