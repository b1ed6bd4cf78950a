// Like names the Consul whose answers `mooring dev` gives where versions differ. Pure.
#pragma once

namespace mooring::dev {

enum class Like {
  kCurrent,  // 1.21: intentions are config entries, and a server's answers carry more headers
  kOld,      // 1.8: every intention has an ID of its own
};

}  // namespace mooring::dev
