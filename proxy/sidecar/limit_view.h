// LimitView: a limit on a number of connections that is in force, and how much of it is used.
#pragma once

#include <cstdint>
#include <string>

namespace mooring::sidecar {

struct LimitView {
  const char* setting;   // that limits
  std::string listener;  // whose connections they are
  std::int64_t most = 0;
  std::int64_t used = 0;     // of max_connections_per_identity: by the one that has most
  std::int64_t refused = 0;  // ever
  std::string identity;      // that one; empty: nobody, or not by identity
};

}  // namespace mooring::sidecar
