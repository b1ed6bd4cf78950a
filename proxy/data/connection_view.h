// ConnectionView: what is known of one live connection at one moment, as a copy that another thread
// may read.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "proxy/data/admission.h"
#include "proxy/data/endpoint.h"
#include "proxy/net/clock.h"
#include "proxy/net/socket.h"
#include "tls/session.h"

namespace mooring::data {

enum class ConnectionState {
  kHandshake,   // inbound: the caller proves who it is
  kConnecting,  // inbound: the app is dialled
  kSearching,   // outbound: no instance has been found yet
  kRelaying,
  kDraining,  // relaying, and a drain waits for its end
  kClosing,   // nothing more is taken from either side
  kRefusing,  // inbound: it is over, and the caller has a moment to read why
};

const char* ConnectionStateName(ConnectionState state);

struct ConnectionView {
  std::uint64_t id = 0;
  ListenerKind kind = ListenerKind::kPublic;
  ConnectionState state = ConnectionState::kHandshake;
  // Services by name. Inbound the source is empty until the caller has proven itself; outbound the
  // destination is what the upstream is called until an instance has.
  std::string source;
  std::string destination;
  std::string identity;  // SPIFFE ID of the TLS peer; empty: none is proven
  net::SocketAddress local;
  net::SocketAddress peer;
  std::optional<net::SocketAddress> endpoint;
  std::shared_ptr<const Instance> instance;
  unsigned attempts = 0;
  tls::Facts tls;
  std::string decided_by;
  net::MonotonicTime begun{};
  std::optional<net::MonotonicTime> last_active;  // the last byte, of the handshake or the payload
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
};

}  // namespace mooring::data
