// Offer: what a process gives to the successor that asks for its place, and how it is asked.
//
// Listening sockets pass, what the service manager has told the first of them, and the agent's
// documents where no file has them: no key, no token, and nothing of a live connection.
//
//   successor                 predecessor
//   take_over {version}  ->
//                        <-   offer {generation, notify_socket, ..., sockets: N, documents: M},
//                             descriptors: standard input, output and error
//                        <-   documents {of}, descriptors: 64 of the M at most; as often as it
//                        takes
//                        <-   sockets {names}, descriptors: 64 of the N at most; as often as it
//                        takes
//   ready                ->   It stops accepting.
//                        <-   yours
//   serving              ->   It is an old generation from here on (generations.h of the sidecar).
//
// Instead of an offer there may be `refused {why}`. Until `serving` whoever fails leaves the
// predecessor where it was.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "authz/result.h"
#include "proxy/handover/channel.h"
#include "proxy/handover/place.h"

namespace mooring::handover {

struct Offer {
  std::int64_t generation = 1;  // the predecessor's number
  pid_t pid = 0;                // the predecessor's
  std::string version;
  std::string notify_socket;  // $NOTIFY_SOCKET of the first process; empty: there is no manager
  std::optional<std::chrono::milliseconds> watchdog_period;
  std::vector<net::UniqueFd> standard;  // three, or none
  struct Socket {
    net::UniqueFd fd;  // listening, or refusing for now
    std::string name;  // by which the manager has it; empty: it does not
  };
  std::vector<Socket> sockets;
  struct Documents {
    std::string of;    // whose: a Store's Key::id
    net::UniqueFd fd;  // documents.h
  };
  std::vector<Documents> documents;
};

// MessagesOf is the offer as it is sent.
std::vector<Message> MessagesOf(Offer offer);

struct Offered {
  Offer offer;
  net::UniqueFd channel;  // on which the rest is said
};

// AskForPlace asks whoever serves at that place. It blocks for ten seconds at most; for a process
// that does nothing else yet.
Result<Offered> AskForPlace(const Place& place, const std::string& version);

}  // namespace mooring::handover
