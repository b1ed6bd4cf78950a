// The values of a YAML mapping that the table of settings knows how to read. Pure.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "proxy/config/problem.h"
#include "proxy/config/table.h"
#include "proxy/config/yaml_mapping.h"

namespace mooring::config {

// YamlReading is what reading one file's values depends on and finds besides.
struct YamlReading {
  std::string_view base_dir;      // where relative paths count from
  std::vector<NamedFile>* files;  // that must be there
};

// ReadKey reads one setting, if its key is there: false if its value is wrong, which has been
// reported.
bool ReadKey(const YamlMapping& mapping, const Setting& setting, const YamlReading& reading,
             const Target& target);

// ReadKeys reads all settings of one mapping that the caller wants and that have no reader of their
// own.
void ReadKeys(const YamlMapping& mapping, In in, const YamlReading& reading, const Target& target,
              const std::function<bool(const Setting&)>& wanted);

}  // namespace mooring::config
