// MetricsReference: examples/metrics.md, of the lists that /metrics and the access log are made of.
// Pure.
#pragma once

#include <string>

namespace mooring::observe {

std::string MetricsReference();

}  // namespace mooring::observe
