// The exit code of a start that fails because of what a person has written: no restart helps, and
// RestartPreventExitStatus=78 in a unit spares it. Other failures of a start end with 1.
#pragma once

namespace mooring::config {

inline constexpr int kBadConfiguration = 78;  // sysexits(3): EX_CONFIG

}  // namespace mooring::config
