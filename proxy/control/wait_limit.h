// WaitLimit: how long a blocking query may wait at an agent that something stands before.
//
// A proxy in front of the agent may end an answer that does not come for a while (nginx:
// proxy_read_timeout, 60 s), and an agent may bound a request by itself. Each such end is a failed
// watch and a pause in which a change is missed. A gateway's timeout (504) says so itself. A
// connection that is only closed may as well be an agent that ends: two in a row at the same age,
// of one question, are taken for a limit. Shared by all questions of one link; pure but for its
// memory.
#pragma once

#include <algorithm>
#include <optional>

#include "proxy/net/loop.h"

namespace mooring::control {

class WaitLimit final {
 public:
  static constexpr net::milliseconds kLeast{1'000};  // what ends earlier was no wait

  // Cuts is one question's memory of how its last waits ended.
  struct Cuts {
    std::optional<net::milliseconds> last;
  };

  // Cut notes that a wait of `asked` ended after `waited` without an answer, and returns whether
  // the limit became shorter.
  bool Cut(Cuts& cuts, net::milliseconds waited, net::milliseconds asked, bool by_gateway);
  // Of is the wait to ask for instead of `wanted`.
  net::milliseconds Of(net::milliseconds wanted) const {
    return limit_ ? std::min(wanted, *limit_) : wanted;
  }

 private:
  std::optional<net::milliseconds> limit_;
};

}  // namespace mooring::control
