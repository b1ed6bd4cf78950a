// WhyText: the JSON of /why as lines for a terminal. Pure.
#pragma once

#include <string>
#include <string_view>

#include "authz/result.h"

namespace mooring::sidecar {

struct WhyAnswer {
  std::string text;
  bool works = false;  // as far as can be known here, the connection would be made
};

// WhyText takes the body of /why. The error says that
// `why_json` is no such document.
Result<WhyAnswer> WhyText(std::string_view why_json);

}  // namespace mooring::sidecar
