// Differences: what another file would change, setting by setting, made from the table of settings.
//
// For a reload, which applies them, and for `mooring diff`, which shows them before. A secret is
// never shown, only that it is another one. Pure.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "proxy/config/named_paths.h"
#include "proxy/config/settings.h"
#include "proxy/config/table.h"

namespace mooring::config {

struct Difference {
  // as a path in the file: "drain_time", "upstreams[db].attempts", "services[api].on_revoke"; a
  // service or an upstream itself where it is added or removed
  std::string setting;
  // as the file would have them, "" for what is left out; nothing on the side where the service or
  // upstream is not there
  std::optional<std::string> before, after;
  bool secret = false;  // the values are not shown; before and after are empty
  Applies applies = Applies::kUpgrade;

  // Text is `drain_time: 30s -> 10s`, in one line.
  std::string Text() const;
  bool operator==(const Difference&) const = default;
};

// Within is what the process that runs is held to, as far as it decides whether a value can apply.
struct Within {
  // the agent has been reached; where nothing has needed it, its settings apply, too
  bool agent = true;
  // A file can be reached, for that use. What cannot be needs an upgrade, whatever its setting says
  // of itself; a service or an upstream that is added and names one does, too. Empty: all can.
  std::function<bool(const NamedPath& path)> reaches{};
};

// DifferencesOf are in the table's order: the process's, then those of each service in the order of
// `after`, behind those that are removed. No difference in the values of a process's own
// environment is looked at.
std::vector<Difference> DifferencesOf(const Settings& before, const Settings& after,
                                      const Within& within = {});

// InForce are the settings of `file` as far as they can take effect while `running` is in force:
// what needs an upgrade is as it was.
Settings InForce(const Settings& running, Settings file, const Within& within = {});

// Same: they represent one service, however much else is different.
bool Same(const ServiceSettings& one, const ServiceSettings& other);

}  // namespace mooring::config
