// ReloadOutcome: what has become of one reload of the settings' file, and how it is told: in lines
// of text and as JSON. Pure.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "authz/result.h"
#include "proxy/config/difference.h"

namespace mooring::sidecar {

struct ReloadOutcome {
  // An error is that nothing of the file is applied, with every problem in a line of its own:
  // `FILE:LINE:COLUMN: message`.
  Status status = Ok();
  std::vector<config::Difference> applied{};
  // what the file says otherwise, and an upgrade (or a restart) would apply
  std::vector<config::Difference> needs_upgrade{};
};

// LinesOf has a line for each problem, or for each difference: `drain_time: 30s -> 10s`, those that
// need an upgrade last, as `workers: 1 -> 2 (needs an upgrade)`. None: nothing is different.
std::vector<std::string> LinesOf(const ReloadOutcome& outcome);

// JsonOf is {"outcome": "applied", "unchanged" or "refused", "problems": [...], "applied": [...],
// "needs_upgrade": [...]}, of differences as {"setting", "before", "after", "secret", "text"}.
nlohmann::json JsonOf(const ReloadOutcome& outcome);

// ToldOutcome is what a person is told of such a document.
struct ToldOutcome {
  std::vector<std::string> lines;  // LinesOf
  bool refused = false;
  bool needs_upgrade = false;  // some of it does
};
// ReadOutcome reads it again; an error is that it is none.
Result<ToldOutcome> ReadOutcome(std::string_view json);

}  // namespace mooring::sidecar
