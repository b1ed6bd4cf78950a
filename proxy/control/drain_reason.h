// DrainReason is what the catalog says of us while we drain, by whichever way we left it: the
// reason of a maintenance, by which the next start tells ours from an operator's, or the note of a
// critical check.
#pragma once

namespace mooring::control {

inline constexpr char kDrainReason[] = "mooring: draining before its end";

}  // namespace mooring::control
