// The reference file: every key of the YAML form with what it means and its default, as text. Pure.
#pragma once

#include <string>

namespace mooring::config {

// ReferenceFile is examples/mooring.yaml. Each key stands right below its comment; `#key` shows the
// default, or an example where there is none; `#or key` excludes the one above it.
std::string ReferenceFile();

}  // namespace mooring::config
