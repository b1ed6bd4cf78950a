// Caps: what an operator has limited by number of connections, and the one place that says no.
//
// A cap that is set refuses at once, by the reason over_limit: whoever set it wants an answer, and
// no queue. What nobody has set never says no; a shortage of the machine is admission.h's, and
// there the kernel's queue keeps the clients. Counts are over all workers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/data/admission.h"
#include "proxy/data/cap.h"
#include "proxy/data/identity_cap.h"
#include "proxy/net/clock.h"
#include "proxy/net/socket.h"

namespace mooring::data {

// UpstreamCaps are those of one upstream, for as long as its listener is wanted.
struct UpstreamCaps {
  Cap connections;  // of the app, from its accept to its end
  Cap pending;      // of them, those that have no proven instance yet
};

// InboundCaps are those of one service, on callers that were let in: strangers take nobody's place.
struct InboundCaps {
  Cap connections;
  std::shared_ptr<IdentityCap> each = std::make_shared<IdentityCap>();  // of one SPIFFE ID
};

// Places is what a connection holds of the caps, from where it was let in.
struct Places {
  Place process;
  Place service;  // of the upstream (UpstreamCaps::connections), or of InboundCaps
  Place pending;
  IdentityCap::Place identity;
};

// OverLimit says which limit a connection would go beyond.
struct OverLimit {
  const char* setting;
  std::int64_t most;
  std::string Text() const { return std::string(setting) + " is " + std::to_string(most); }
};

// AtAccept says no to a client that has just connected, or takes its places. `upstream` are those
// of the upstream that it comes to; null: it is a caller, or nobody counts.
std::optional<OverLimit> AtAccept(Admission& admission, ListenerKind kind,
                                  const std::shared_ptr<UpstreamCaps>& upstream,
                                  const net::SocketAddress& peer, net::MonotonicTime now,
                                  Places* places) noexcept;

// AtIdentity says no to a caller that has proven to be `identity` and may come in otherwise, or
// takes its places. `caps` may be null: nobody counts. It throws std::bad_alloc.
std::optional<OverLimit> AtIdentity(const std::shared_ptr<InboundCaps>& caps,
                                    std::string_view identity, Places* places);

}  // namespace mooring::data
