// Limits: how much memory and how many descriptors connections may take, and the arithmetic of
// their defaults. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace mooring::data {

// What is reckoned for one connection, in bytes: two sockets with what the kernel keeps for them,
// two legs, a session at rest. For one handshake: the session while it works, and the record that
// its first bytes announce.
inline constexpr std::size_t kConnectionCost = std::size_t{20} << 10;
inline constexpr std::size_t kHandshakeCost = std::size_t{28} << 10;
// A connection needs a descriptor on either side.
inline constexpr std::int64_t kDescriptorsEach = 2;

struct Limits {
  // all of the three together, connections at kConnectionCost each
  std::size_t memory = 0;
  std::size_t handshakes = 0;        // under way, on the public side
  std::size_t handshake_memory = 0;  // what they hold
  // bytes read and not yet taken; above it, nothing is read that would have to be kept
  std::size_t buffer_memory = 0;
  unsigned agent_connections = 8;  // at most; they need descriptors, too
  // What the operator has limited beside that; nullopt: nothing.
  std::optional<unsigned> connections{};        // of both directions
  std::optional<unsigned> rate_per_address{};   // connections a second of one caller's address
  std::optional<unsigned> burst_per_address{};  // nullopt: as rate_per_address

  // None is for tests of other things.
  static Limits None();
  // FromMemory divides what the process may have, as its settings and its control group say. The
  // rest is for the program itself, its documents, and what an allocator loses.
  static Limits FromMemory(std::size_t memory, unsigned workers);
};

// Shares divide the descriptors of the process between two directions, so that neither can use up
// the other's.
struct Shares {
  std::int64_t inbound = 0;   // descriptors that callers' connections may hold
  std::int64_t outbound = 0;  // and those of the app's
  // for the agent, the admin port, the state file, listeners, the loops and the log
  std::int64_t reserved = 0;

  // `limit` is RLIMIT_NOFILE. A direction without a listener leaves its share to the other one.
  // `agent_connections` are those to the agent, at most.
  static Shares Of(std::int64_t limit, std::int64_t workers, std::int64_t public_listeners,
                   std::int64_t upstream_listeners, std::int64_t agent_connections = 8);
};

}  // namespace mooring::data
