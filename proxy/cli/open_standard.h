// What a main does first.
#pragma once

namespace mooring::cli {

// OpenStandard has descriptors 0 to 2 lead somewhere: one that is closed would become a
// connection's, and get the log.
void OpenStandard();

}  // namespace mooring::cli
