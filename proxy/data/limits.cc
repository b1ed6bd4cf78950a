#include "proxy/data/limits.h"

#include <algorithm>
#include <limits>

namespace mooring::data {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
// The program at rest, its code and documents; each worker's scratch memory (net/loop.h).
constexpr std::size_t kProgram = 8 * kMiB;
constexpr std::size_t kWorker = 4 * kMiB;
// An allocator does not get all of its pages back into use.
constexpr std::size_t kLostPart = 8;

// Standard streams, the log, the look-ups, the certificates and the state file while they are read
// or written; the connections of the agent and of the admin and metrics ports, which have limits of
// their own.
constexpr std::int64_t kOwnFiles = 24;
constexpr std::int64_t kAgentFiles = 8;  // beside its connections: those that are just being closed
constexpr std::int64_t kAdminFiles = 2 * 16;
constexpr std::int64_t kLoopFiles = 8;
// What the other direction can count on, at most; more than that belongs to whoever comes first.
constexpr std::int64_t kLargestKept = 1024;

}  // namespace

Limits Limits::None() {
  constexpr std::size_t kNone = std::numeric_limits<std::int64_t>::max() / 4;
  return {.memory = kNone, .handshakes = kNone, .handshake_memory = kNone, .buffer_memory = kNone};
}

Limits Limits::FromMemory(std::size_t memory, unsigned workers) {
  const std::size_t own = std::min(kProgram + workers * kWorker, memory / 4 * 3);
  const std::size_t left = memory - own;
  Limits limits;
  limits.memory = left - left / kLostPart;
  limits.handshake_memory = limits.memory / 4;
  limits.handshakes = std::max<std::size_t>(limits.handshake_memory / kHandshakeCost, 16);
  limits.buffer_memory = limits.memory / 4;
  return limits;
}

Shares Shares::Of(std::int64_t limit, std::int64_t workers, std::int64_t public_listeners,
                  std::int64_t upstream_listeners, std::int64_t agent_connections) {
  const std::int64_t wanted = kOwnFiles + kAgentFiles + agent_connections + kAdminFiles +
                              kLoopFiles * (workers + 1) + public_listeners + upstream_listeners;
  Shares shares;
  shares.reserved = std::min(wanted, limit / 2);
  const std::int64_t free = std::max<std::int64_t>(limit - shares.reserved, kDescriptorsEach);
  const std::int64_t kept =
      public_listeners > 0 && upstream_listeners > 0 ? std::min(free / 4, kLargestKept) : 0;
  shares.inbound = shares.outbound = std::max(free - kept, kDescriptorsEach);
  return shares;
}

}  // namespace mooring::data
