// The strict YAML form of Settings: `mooring proxy -config FILE.yaml` and `mooring validate FILE`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "authz/result.h"
#include "proxy/config/environment.h"
#include "proxy/config/problem.h"
#include "proxy/config/settings.h"

namespace mooring::config {

struct ParsedYaml {
  Settings settings;              // meaningful only without problems
  std::vector<Problem> problems;  // all of them, in the file's order
  std::vector<NamedFile> files;   // that must be there at the start
};

// ParseYaml reads the text of one file. Relative paths in it count from `base_dir`. Environment
// variables of Consul (CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, ...) fill in what the `agent` section
// leaves out.
ParsedYaml ParseYaml(std::string_view text, std::string_view base_dir,
                     const Environment& environment);

}  // namespace mooring::config
