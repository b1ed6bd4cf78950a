// StatusTable: the JSON of /status as tables for a terminal. Pure.
#pragma once

#include <string>
#include <string_view>

#include "authz/result.h"

namespace mooring::sidecar {

// StatusTable shows who we are, what is known and how old it is, listeners, upstreams and
// connections. The error says that `status_json` is no such document.
Result<std::string> StatusTable(std::string_view status_json);

}  // namespace mooring::sidecar
