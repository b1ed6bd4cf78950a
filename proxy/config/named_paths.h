// Named paths: which files, folders and sockets of this machine the settings name, and what for.
// Made from the table of settings. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "proxy/config/settings.h"
#include "proxy/config/table.h"

namespace mooring::config {

enum class PathUse {
  kRead,    // a file, or a folder of them
  kAppend,  // a log
  kListen,  // a unix socket that we make
  kKeep,    // a folder of our own
};

struct NamedPath {
  std::string path;
  PathUse use = PathUse::kRead;

  bool operator==(const NamedPath&) const = default;
};

// PathIn is what this setting names there; nothing if it names no path, or an empty one. Sockets
// that are dialled are not among them.
std::optional<NamedPath> PathIn(const Setting& setting, const Target& target);

// PathsOf are those of one service with its upstreams; NamedPaths those of all of them, of the
// process, and the settings' own file.
std::vector<NamedPath> PathsOf(const ServiceSettings& service);
std::vector<NamedPath> NamedPaths(const Settings& settings);

}  // namespace mooring::config
