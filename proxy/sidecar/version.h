// The version that `mooring version` and /status say.
#pragma once

namespace mooring::sidecar {
inline constexpr char kVersion[] = "0.1.0";
}  // namespace mooring::sidecar
