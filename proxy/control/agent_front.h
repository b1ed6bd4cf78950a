// What answers at the agent's address where it is not the agent, or not in its way: another port,
// a front that redirects, compresses or shows a page of its own. Each message says what is there
// and what to do. Pure functions.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "authz/result.h"
#include "proxy/http/client.h"

namespace mooring::control {

// CureOf is what the end of a request's connection suggests, to stand behind its error: "; ..." or
// empty.
std::string CureOf(http::Client::Trouble trouble, bool https);

// Unusable is why an answer of 200 is no document of the agent's, whoever asked: a compressed body,
// a page for people.
std::optional<Error> Unusable(const http::Response& answer);

// Said is what an answer says, for a message about it: its text, or what kind of body it has where
// that is none for people. `blot` takes our secrets out of it.
std::string Said(const http::Response& answer, const std::function<std::string(std::string)>& blot);

// CureOfAnswer is what the operator may do about an answer other than 200, where that follows from
// the answer alone: "; ..." or empty.
std::string CureOfAnswer(const http::Response& answer);

// IsPage: the body is HTML, which no path of the agent's API answers with.
bool IsPage(const http::Response& answer);

}  // namespace mooring::control
