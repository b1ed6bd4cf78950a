// Verdicts: the chains that a TrustBundle has found good, so that a peer that comes again costs a
// hash and not signature checks.
//
// What a path is worth depends on the chain's bytes, the roots, the purpose and the time. Roots are
// those of the bundle that owns this object; bytes and purpose are the key; the time is kept as the
// span in which every certificate of the path is valid. Refusals are not kept: strangers could fill
// it. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "tls/identity.h"

namespace mooring::tls {

// TimeSpan is [from, until); empty when until <= from.
struct TimeSpan {
  WallTime from = WallTime::max();
  WallTime until = WallTime::min();
};

class Verdicts final {
 public:
  using Key = std::array<std::uint8_t, 32>;  // SHA-256
  static Key KeyOf(std::span<const std::span<const std::uint8_t>> chain, Purpose purpose);

  // Find is the identity that this chain proves at `now`; absent when it must be judged.
  std::optional<authz::ServiceId> Find(const Key& key, WallTime now) const;
  void Remember(const Key& key, const authz::ServiceId& id, TimeSpan valid);

 private:
  static constexpr std::size_t kMost = 512;  // chains; some 300 bytes each
  struct Good {
    authz::ServiceId id;
    TimeSpan valid;
  };

  mutable std::mutex mutex_;
  std::map<Key, Good> good_;
  std::vector<Key> order_;  // a ring: the oldest makes room
  std::size_t next_ = 0;
};

}  // namespace mooring::tls
