#include "proxy/data/address_rate.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace mooring::data {

AddressRate::AddressRate(unsigned rate, unsigned burst, std::size_t remembered)
    : most_(remembered) {
  Set(rate, burst);
}

void AddressRate::Set(unsigned rate, unsigned burst) noexcept {
  std::map<Key, Bucket> buckets;  // end after the lock
  std::list<Key> heard;
  const std::lock_guard lock(mutex_);
  rate_.store(rate, std::memory_order_relaxed);
  burst_ = burst;
  each_ = std::chrono::duration_cast<Nanoseconds>(std::chrono::seconds(1)) / std::max(rate, 1U);
  buckets_.swap(buckets);
  heard_.swap(heard);
}

std::optional<AddressRate::Key> AddressRate::KeyOf(const net::SocketAddress& peer) {
  if (peer.family() == AF_INET)
    return Key{AF_INET, reinterpret_cast<const sockaddr_in*>(peer.raw())->sin_addr.s_addr};
  if (peer.family() != AF_INET6) return std::nullopt;
  const in6_addr& address = reinterpret_cast<const sockaddr_in6*>(peer.raw())->sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&address)) {  // at a listener of both families
    std::uint32_t v4 = 0;
    std::memcpy(&v4, address.s6_addr + 12, sizeof v4);
    return Key{AF_INET, v4};
  }
  std::uint64_t network = 0;
  std::memcpy(&network, address.s6_addr, sizeof network);
  return Key{AF_INET6, network};
}

AddressRate::Bucket& AddressRate::BucketOf(const Key& key, net::MonotonicTime now) {
  if (const auto found = buckets_.find(key); found != buckets_.end()) {
    heard_.splice(heard_.begin(), heard_, found->second.heard);
    return found->second;
  }
  if (buckets_.size() < most_) {
    heard_.push_front(key);
    try {
      return buckets_.emplace(key, Bucket{now, heard_.begin()}).first->second;
    } catch (const std::bad_alloc&) {
      heard_.pop_front();
      throw;
    }
  }
  // The memory of the one that was heard of longest ago is the new one's.
  auto reused = buckets_.extract(heard_.back());
  heard_.back() = reused.key() = key;
  heard_.splice(heard_.begin(), heard_, std::prev(heard_.end()));
  reused.mapped() = {now, heard_.begin()};
  return buckets_.insert(std::move(reused)).position->second;
}

bool AddressRate::May(const net::SocketAddress& peer, net::MonotonicTime now) noexcept {
  const std::optional<Key> key = KeyOf(peer);
  if (!key) return true;
  const std::lock_guard lock(mutex_);
  if (!limited()) return true;
  try {
    Bucket& bucket = BucketOf(*key, now);
    const net::MonotonicTime then = std::max(bucket.full_at, now) + each_;
    if (then - now <= each_ * burst_) {
      bucket.full_at = then;
      return true;
    }
  } catch (const std::bad_alloc&) {  // not remembered is not counted
  }
  ++refused_;
  return false;
}

unsigned AddressRate::burst() const {
  const std::lock_guard lock(mutex_);
  return burst_;
}

std::int64_t AddressRate::refused() const {
  const std::lock_guard lock(mutex_);
  return refused_;
}

std::size_t AddressRate::remembered() const {
  const std::lock_guard lock(mutex_);
  return buckets_.size();
}

}  // namespace mooring::data
