// Record: what is known of one connection, from its accept to its end. The direction's counters are
// fed from it.
//
// The connection writes it as it comes to know. Times are the loop's. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "proxy/data/admission.h"
#include "proxy/data/close_reason.h"
#include "proxy/data/endpoint.h"
#include "proxy/data/stats.h"
#include "proxy/data/traffic.h"
#include "proxy/net/clock.h"
#include "proxy/net/socket.h"
#include "tls/session.h"

namespace mooring::data {

struct Record {
  std::uint64_t id = 0;  // no other connection of the process has it (Admission::NextId)
  ListenerKind kind = ListenerKind::kPublic;
  net::MonotonicTime begun{};
  net::SocketAddress local;  // the listener's end of the client's connection
  net::SocketAddress peer;   // the client
  std::string identity;      // SPIFFE ID that the TLS peer has proven; empty: none
  // that it came to: the app's address, or an instance's; absent: none
  std::optional<net::SocketAddress> endpoint;
  std::shared_ptr<const Instance> instance;  // behind `endpoint`, as the catalog has it; or null
  unsigned attempts = 0;                     // endpoints that were dialled
  tls::Facts tls;                            // of the TLS leg, once its handshake is done
  // TCP to what is at `endpoint`, and the TLS handshake; outbound those of the attempt that was
  // good
  std::optional<microseconds> connect_took;
  std::optional<microseconds> handshake_took;
  std::optional<net::MonotonicTime> first_byte;  // of the payload, either way
  std::uint64_t bytes_in = 0;                    // payload from the client
  std::uint64_t bytes_out = 0;                   // payload to the client
  std::uint64_t kept_in = 0;                     // of what came from the client: not yet taken
  std::uint64_t kept_out = 0;                    // of what is for the client
  std::optional<CloseReason> reason;             // once it has ended
  // in words, where there is more to say than the reason
  std::string detail;
  // the intention or the default that let a caller in, refused it, or came to forbid it
  std::string decided_by;
  net::MonotonicTime reported{};  // while it lives: the last time (report.h)

  // who talks to whom; null: not known yet
  std::shared_ptr<Flow> flow;

  // Feed brings to the counters what is new since the last call, while the connection lives and at
  // its end.
  void Feed(DirectionStats& stats) noexcept {
    const std::int64_t in = Change(bytes_in, &fed_in);
    const std::int64_t out = Change(bytes_out, &fed_out);
    stats.bytes_in.Add(in);
    stats.bytes_out.Add(out);
    if (flow) {
      flow->bytes_in.Add(in);
      flow->bytes_out.Add(out);
      flow->kept_in.Add(Change(kept_in, &fed_kept_in));
      flow->kept_out.Add(Change(kept_out, &fed_kept_out));
    }
  }

  // Feed's: what the counters have.
  std::uint64_t fed_in = 0;
  std::uint64_t fed_out = 0;
  std::uint64_t fed_kept_in = 0;
  std::uint64_t fed_kept_out = 0;

 private:
  static std::int64_t Change(std::uint64_t now, std::uint64_t* fed) {
    return static_cast<std::int64_t>(now - std::exchange(*fed, now));
  }
};

}  // namespace mooring::data
