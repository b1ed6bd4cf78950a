// Locality: where an instance runs, as its registration says it; empty where it says nothing.
// Consul 1.17 and later tell it.
#pragma once

#include <string>

namespace mooring::authz {

struct Locality {
  std::string region;
  std::string zone;  // within the region

  bool operator==(const Locality&) const = default;
};

}  // namespace mooring::authz
