// Snapshot: everything a worker decides by, as one immutable value.
//
// The control thread builds a new one at every change and posts it to the workers; a worker keeps the
// newest in a plain member. Parts that did not change are shared with the one before.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "authz/intention.h"
#include "proxy/net/loop.h"
#include "proxy/net/socket.h"
#include "tls/context.h"
#include "tls/identity.h"

namespace mooring::data {

using net::milliseconds;

// Identity: our leaf and the roots, with the contexts made of them. Always a matching set.
struct Identity {
  std::shared_ptr<const tls::Credentials> leaf;
  std::shared_ptr<const tls::TrustBundle> roots;
  std::shared_ptr<const tls::Context> server;
  std::shared_ptr<const tls::Context> client;
};

// InboundRules: what holds for accepted connections.
struct InboundRules {
  std::vector<net::SocketAddress> local_app;  // the app's addresses, tried in order; empty: not resolved yet
  std::string local_app_text;                 // for messages
  milliseconds handshake_timeout{10'000};
  milliseconds local_connect_timeout{1'000};
  milliseconds idle_timeout{0};  // 0: none
};

// UpstreamRules: how to reach one upstream.
struct UpstreamRules {
  std::string name;
  bool known = false;  // endpoints have been learnt at least once, even if there are none
  std::optional<authz::ServiceId> identity;  // whom to accept; absent: not known yet, dial nobody
  std::vector<net::SocketAddress> endpoints;  // healthy ones
  milliseconds connect_timeout{5'000};       // TCP and TLS of all attempts together
  milliseconds idle_timeout{0};              // 0: none
};

struct Snapshot {
  std::uint64_t version = 0;
  std::shared_ptr<const Identity> identity;               // null: none yet
  std::shared_ptr<const authz::IntentionSet> intentions;  // null: none yet, which denies
  authz::DefaultPolicy fallback = authz::DefaultPolicy::kUnknown;
  std::shared_ptr<const InboundRules> inbound;            // null: no public listener
  std::map<std::string, std::shared_ptr<const UpstreamRules>> upstreams;  // by listener name
};

}  // namespace mooring::data
