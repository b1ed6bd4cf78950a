// A YAML file of settings as it stands on disk, read with all that it names: by `mooring validate`
// and by a reload. Blocks for as long as the disk does.
#pragma once

#include <string>

#include "authz/result.h"
#include "proxy/config/environment.h"
#include "proxy/config/yaml.h"

namespace mooring::control {

// ReadSettingsFile reads the file alone: its mistakes are in `problems`. An error is that it cannot
// be read at all.
Result<config::ParsedYaml> ReadSettingsFile(const std::string& path,
                                            const config::Environment& environment);

// CheckNamedFiles adds a problem for each file that it names and that cannot be read, and for each
// certificate that does not fit its key or roots.
void CheckNamedFiles(config::ParsedYaml* parsed);

}  // namespace mooring::control
