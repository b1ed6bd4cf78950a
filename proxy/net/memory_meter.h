// MemoryMeter: bytes that the connections of all loops keep because somebody has not taken them
// yet, against a limit.
//
// Over the limit it is tight: then nothing is read that would have to be kept (data/relay.h). It
// knows no connections. Shared by all threads: a relaxed atomic, because each reader wants a
// number, not an order. It moves only when something is kept or let go, never with a message that
// passes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace mooring::net {

class MemoryMeter final {
 public:
  explicit MemoryMeter(std::size_t limit) : limit_(static_cast<std::int64_t>(limit)) {}

  void Add(std::int64_t bytes) { kept_.fetch_add(bytes, std::memory_order_relaxed); }
  std::int64_t kept() const { return kept_.load(std::memory_order_relaxed); }
  std::int64_t limit() const { return limit_.load(std::memory_order_relaxed); }
  void SetLimit(std::size_t limit) {
    limit_.store(static_cast<std::int64_t>(limit), std::memory_order_relaxed);
  }
  bool IsTight() const { return kept() >= limit(); }

 private:
  std::atomic<std::int64_t> limit_;
  std::atomic<std::int64_t> kept_{0};
};

}  // namespace mooring::net
