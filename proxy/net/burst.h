// Burst sizes: how many bytes one read of a socket may bring.
//
// All of them are whole TLS records of full size (RFC 8446 5.2), because a burst that ends in a
// small record costs one more.
#pragma once

#include <cstddef>

namespace mooring::net {

inline constexpr std::size_t kRecordPayload = 16384;         // bytes of plaintext in a full record
inline constexpr std::size_t kRecord = kRecordPayload + 22;  // the same on the wire
// A direction keeps at most what one read brought and the other leg did not take. 7 records keep
// both directions of a connection below 256 KiB together.
inline constexpr std::size_t kReadBurst = 7 * kRecord;
// A larger read costs a bulk stream a fifth less, because there are fewer acknowledgements and
// wake-ups a byte. It is allowed only where the kernel buffer of the other leg is known to have
// room for all of it.
inline constexpr std::size_t kLargeBurst = 64 * kRecord;

}  // namespace mooring::net
