// Preference: which of an upstream's endpoints searches are given first.
//
// Those on our own node, else those in our zone with them, as long as most of what the catalog
// lists there is in service; else all. Too few would have to carry what all of them did. Pure.
#pragma once

#include <cstddef>

#include "proxy/data/snapshot.h"

namespace mooring::data {

struct Preference {
  std::size_t near = 0;    // so many of the list, from its beginning
  bool none_left = false;  // all endpoints are ejected: then all are given
};

// Prefer goes by what is in service now.
Preference Prefer(const UpstreamRules& rules);

}  // namespace mooring::data
