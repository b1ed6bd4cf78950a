// The two servers of the benchmark. Both run until they are ended by a signal.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mooring::bench {

// The first byte of a connection says what the backend does with it; that byte is payload, too.
inline constexpr std::uint8_t kEcho = 'e';  // every byte comes back
// bytes are discarded; progress comes back, see kAckBytes
inline constexpr std::uint8_t kSink = 's';

// After every kAckEvery bytes or more, the sink sends how many have arrived so far: 8 bytes,
// little-endian. Bytes that wait in some buffer on the way are therefore never counted.
inline constexpr std::uint64_t kAckEvery = std::uint64_t{1} << 20;
inline constexpr std::size_t kAckBytes = 8;

[[noreturn]] void RunBackend(int port);

// RunRelay copies between each caller and `to`, in clear text, with one buffer for all: what any
// proxy that copies has to pay at least.
[[noreturn]] void RunRelay(int listen, int to, std::size_t buffer);

}  // namespace mooring::bench
