// Advice: what each reason for an end means, and what to look at next. For people: `mooring why`,
// the page, the documentation. Pure.
#pragma once

#include <string>
#include <string_view>

#include "proxy/data/admission.h"
#include "proxy/data/close_reason.h"

namespace mooring::observe {

struct Advice {
  const char* means;  // one sentence
  // One sentence with the next command or setting to look at; SOURCE and DESTINATION stand for the
  // services' names. Empty: nothing is wrong.
  const char* next;
};

// AdviceOn is of an end as we saw it: inbound we are DESTINATION, outbound SOURCE.
Advice AdviceOn(data::CloseReason reason, data::ListenerKind direction);

// WithNames puts the names in the place of SOURCE and DESTINATION. Each goes in as it is: whoever
// writes the text somewhere escapes it there.
std::string WithNames(std::string_view text, std::string_view source, std::string_view destination);

}  // namespace mooring::observe
