// Endpoint: one address of an upstream, with whom it must prove to be and what is said of the
// instance behind it.
//
// A value: it is part of a snapshot and copied into the connection that tries it. What many
// endpoints have in common they share.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "authz/locality.h"
#include "authz/spiffe.h"
#include "proxy/net/socket.h"

namespace mooring::data {

class EndpointHistory;

// Instance is what the catalog says of the instance behind an endpoint. Nothing of it is proven.
struct Instance {
  std::string id;  // of its service; unique on its node
  std::string node;
  std::string datacenter;
  authz::Locality locality;

  bool operator==(const Instance&) const = default;
};

// Nearness is how far an instance is from us, as the catalog has it.
enum class Nearness { kNode, kZone, kFar };
inline constexpr std::size_t kNearnesses = 3;

struct Endpoint {
  net::SocketAddress address;
  // to prove; null: not known yet, and then it is not dialled
  std::shared_ptr<const authz::ServiceId> identity;
  // to ask for it by, where that is not the identity's own name (a subset's, for a gateway)
  std::string server_name;
  std::string ServerName() const { return server_name.empty() ? identity->Sni() : server_name; }
  // its share of the connections, beside those of the others; 1 to 65535
  int weight = 1;
  Nearness nearness = Nearness::kFar;
  // null: nothing is said of it, as of one that the file names
  std::shared_ptr<const Instance> instance;
  // What was met with there. Not null in a snapshot (endpoint_history.h); no part of what makes two
  // endpoints equal.
  std::shared_ptr<EndpointHistory> history;
};

// Same compares what two pointers point at; two nulls are the same.
template <typename T>
bool Same(const std::shared_ptr<T>& a, const std::shared_ptr<T>& b) {
  return a == b || (a && b && *a == *b);
}

inline bool operator==(const Endpoint& a, const Endpoint& b) {
  return a.address == b.address && a.weight == b.weight && a.nearness == b.nearness &&
         Same(a.identity, b.identity) && a.server_name == b.server_name &&
         Same(a.instance, b.instance);
}

}  // namespace mooring::data
