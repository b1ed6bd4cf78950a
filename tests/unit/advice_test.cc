// What each reason means to people, and what is to be looked at next.
#include <doctest/doctest.h>

#include <set>
#include <string>

#include "proxy/observe/advice.h"

namespace mooring {
namespace {

using data::CloseReason;
using data::ListenerKind;

// Nothing is wrong where a connection ended like this.
const std::set<CloseReason> kGood{CloseReason::kDone, CloseReason::kDrained, CloseReason::kProbe};

TEST_CASE("advice: every reason has a sentence in either direction, and a next step if it is bad") {
  for (std::size_t i = 0; i < data::kCloseReasons; ++i) {
    const auto reason = static_cast<CloseReason>(i);
    for (const ListenerKind direction : {ListenerKind::kPublic, ListenerKind::kUpstream}) {
      CAPTURE(data::CloseReasonName(reason));
      const observe::Advice advice = observe::AdviceOn(reason, direction);
      CHECK(std::string(advice.means).ends_with('.'));
      CHECK(std::string(advice.next).empty() == (kGood.count(reason) > 0));
      if (kGood.count(reason) == 0) {
        const std::string next = advice.next;
        CHECK((next.ends_with('.') || next.ends_with('?')));
      }
    }
  }
}

TEST_CASE("advice: names stand where they belong") {
  CHECK(observe::WithNames("`consul intention check SOURCE DESTINATION`.", "web", "db") ==
        "`consul intention check web db`.");
  CHECK(observe::WithNames("SOURCE", "DESTINATION", "db") == "DESTINATION");
}

}  // namespace
}  // namespace mooring
