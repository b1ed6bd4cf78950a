// What a YAML file says of one service: the file's top level, or an element of its `services`.
// Pure.
#pragma once

#include <string_view>
#include <vector>

#include "proxy/config/settings.h"
#include "proxy/config/yaml_mapping.h"
#include "proxy/config/yaml_values.h"

namespace mooring::config {

// YamlListener is an address of the file that is to be listened on.
struct YamlListener {
  YamlMapping mapping;
  std::string_view key;
  net::Address address;
};

// ReadYamlService reads one service into `settings->services`, where it is made of `defaults`.
// Mistakes go to the mapping's list, addresses to `listeners`.
void ReadYamlService(const YamlMapping& mapping, const YamlReading& reading,
                     const ServiceSettings& defaults, Settings* settings,
                     std::vector<YamlListener>* listeners);

// CheckYamlListeners reports each address that another one takes.
void CheckYamlListeners(const std::vector<YamlListener>& listeners);

}  // namespace mooring::config
