// Snapshot: everything that is decided by for one service's connections, as one immutable value.
//
// The control thread builds a new one at every change and posts it to the service's host on each
// worker, which keeps the newest in a plain member. Parts that did not change are shared with the
// one before.
#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "authz/intention.h"
#include "proxy/data/balance.h"
#include "proxy/data/caps.h"
#include "proxy/data/departed.h"
#include "proxy/data/ejection.h"
#include "proxy/data/endpoint.h"
#include "proxy/data/last_use.h"
#include "proxy/data/retry_budget.h"
#include "proxy/net/loop.h"
#include "proxy/net/socket.h"
#include "tls/context.h"
#include "tls/identity.h"

namespace mooring::data {

using net::milliseconds;

class Kept;
class Outliers;

// Identity: our leaf and the roots, with the contexts made of them. Always a matching set.
struct Identity {
  std::shared_ptr<const tls::Credentials> leaf;
  std::shared_ptr<const tls::TrustBundle> roots;
  tls::Offers offers;
  std::shared_ptr<const tls::Context> server;
  std::shared_ptr<const tls::Context> client;
};

// InboundRules: what holds for accepted connections.
struct InboundRules {
  // the app's addresses, tried in order; empty: not resolved yet
  std::vector<net::SocketAddress> local_app;
  std::string local_app_text;  // for messages
  milliseconds handshake_timeout{10'000};
  milliseconds local_connect_timeout{1'000};
  bool proxy_header = false;          // the app is told who calls (proxy_header.h)
  milliseconds idle_timeout{0};       // 0: none
  std::shared_ptr<InboundCaps> caps;  // null: nobody counts
};

// UpstreamRules: how to reach one upstream.
struct UpstreamRules {
  std::string name;
  bool known = false;  // endpoints have been learnt at least once, even if there are none
  // of its instances; null: not known yet, dial nobody
  std::shared_ptr<const authz::ServiceId> identity;
  // healthy ones, each with its identity and history; the nearest first
  std::vector<Endpoint> endpoints;
  // how many instances the catalog lists of each nearness, healthy or not; 0: as many as endpoints
  // has of it
  std::array<std::size_t, kNearnesses> listed{};
  // while at least so many percent of the listed ones are in service, the nearest go first; 0: all
  // are alike
  unsigned prefer_near = 70;
  Balance balance = Balance::kLeastConnections;
  EjectionRules ejection;
  std::shared_ptr<Outliers> outliers;    // null: nobody is ejected
  std::shared_ptr<Kept> kept;            // of a sticky one; null: each worker keeps its own
  milliseconds connect_timeout{5'000};   // TCP and TLS of all attempts together
  std::size_t attempts = 10;             // endpoints that one connection is tried with, at most
  milliseconds attempt_delay{250};       // after it the next attempt begins beside the newest
  milliseconds early_close{0};           // an end so soon after the proof is a failure; 0: none is
  milliseconds probe_interval{0};        // each endpoint is probed so often; 0: never
  milliseconds idle_timeout{0};          // 0: none
  bool stale = false;                    // the endpoints are older than max_stale
  bool resumes = true;                   // TLS sessions, by tickets
  std::shared_ptr<LastUse> use;          // noted at each connection of the app; null: nobody asks
  std::shared_ptr<RetryBudget> retries;  // of all workers; null: not limited
  std::shared_ptr<UpstreamCaps> caps;    // null: nobody counts
  // who has left, and how long their sessions may still owe answers; null: nobody, or they are kept
  std::shared_ptr<const Departed> departed;
  milliseconds departure_grace{1'000};
};

// LivePolicy: what becomes of connections that live.
struct LivePolicy {
  bool cut_revoked = true;       // those that intentions, default or roots come to forbid
  milliseconds revoke_grace{0};  // from the change to the cut
  // Those that intentions or default come to forbid end between two exchanges, or when that grace
  // is over; those that roots do, at once.
  bool revoke_quietly = false;
  milliseconds max_age{0};  // 0: none
  // one that is silent so long between two exchanges is idle; 0: none is
  milliseconds quiet{200};
};

// TooOld says whether a connection that has lived since then has reached its largest age.
inline bool TooOld(const LivePolicy& policy, net::MonotonicTime since, net::MonotonicTime now) {
  return policy.max_age.count() > 0 && now - since >= policy.max_age;
}

struct Snapshot {
  std::string service;     // what we are called; for counters
  std::string datacenter;  // ours, where it is known
  LivePolicy live;
  // Until then an upstream's connections wait for what is not known yet, whatever connect_timeout
  // is: the process has just started.
  net::MonotonicTime early_until{};
  std::shared_ptr<const Identity> identity;  // null: none yet
  bool roots_stale = false;                  // older than max_stale: nobody new is believed
  std::shared_ptr<const authz::IntentionSet> intentions;  // null: none yet, which denies
  bool intentions_stale = false;  // older than max_stale: nobody new is admitted
  authz::DefaultPolicy fallback = authz::DefaultPolicy::kUnknown;
  std::shared_ptr<const InboundRules> inbound;  // null: no public listener
  std::map<std::string, std::shared_ptr<const UpstreamRules>> upstreams;  // by listener name
};

}  // namespace mooring::data
