// AddressRate: how often each source address may connect: so many times a second, after a burst.
//
// An IPv6 address counts as its /64, which is one subscriber's. Addresses of a unix socket are
// nobody's and always may. The addresses that were heard of last are remembered, so many of them;
// one that is forgotten begins anew. A lock; any thread. The time is an argument. The rate is the
// control thread's to set.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "proxy/net/clock.h"
#include "proxy/net/socket.h"

namespace mooring::data {

class AddressRate final {
 public:
  static constexpr std::size_t kRemembered = 8192;

  AddressRate() : AddressRate(0, 0) {}  // no limit
  // `rate` a second, and `burst` at once where there was none for long; each 1 or more.
  AddressRate(unsigned rate, unsigned burst, std::size_t remembered = kRemembered);

  // Set is for another rate, 0 for none: all begin anew.
  void Set(unsigned rate, unsigned burst) noexcept;
  bool limited() const noexcept { return rate() != 0; }

  // May counts one more connection of `peer`, if it may have one now. Without memory to remember
  // the address by, it may not.
  bool May(const net::SocketAddress& peer, net::MonotonicTime now) noexcept;

  unsigned rate() const noexcept { return rate_.load(std::memory_order_relaxed); }
  unsigned burst() const;
  std::int64_t refused() const;  // ever
  std::size_t remembered() const;

 private:
  using Nanoseconds = std::chrono::nanoseconds;
  using Key = std::pair<int, std::uint64_t>;  // family, and the address or its /64
  struct Bucket {
    net::MonotonicTime full_at;  // all of the burst is there again
    std::list<Key>::iterator heard;
  };

  static std::optional<Key> KeyOf(const net::SocketAddress& peer);
  Bucket& BucketOf(const Key& key, net::MonotonicTime now);

  const std::size_t most_;
  std::atomic<unsigned> rate_{0};  // written under the lock
  mutable std::mutex mutex_;
  unsigned burst_ = 0;             // guarded by mutex_
  Nanoseconds each_{0};            // guarded by mutex_: that one connection costs
  std::map<Key, Bucket> buckets_;  // guarded by mutex_
  std::list<Key> heard_;           // guarded by mutex_: the latest first
  std::int64_t refused_ = 0;       // guarded by mutex_
};

}  // namespace mooring::data
