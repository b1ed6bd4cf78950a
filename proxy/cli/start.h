// Start runs a Sidecar with finished settings until it ends; returns its exit code.
#pragma once

#include "proxy/config/settings.h"

namespace mooring::cli {

int Start(config::Settings settings);

}  // namespace mooring::cli
