// A question to the agent as an old generation writes it to a newer one (feeder.h), beside the
// request that the agent would get: so the newer one shares it with those that it asks itself.
// Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "proxy/control/question.h"

namespace mooring::control {

inline constexpr char kQuestionHeader[] = "x-mooring-question";

// HeaderOf is all of a question but for method and body, which the request has.
std::string HeaderOf(const Question::What& what, const Question::How& how);

struct FeedQuestion {
  Question::What what;  // without method and body
  Question::How how;
};
// ReadHeader is what HeaderOf has written; nothing if it is no such thing.
std::optional<FeedQuestion> ReadHeader(std::string_view header);

}  // namespace mooring::control
