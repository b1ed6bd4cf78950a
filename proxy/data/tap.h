// Tap: a copy of the payload of one connection, for whoever was allowed to look at it.
//
// Written by the connection's worker, read by the control thread once it is over. Bounded: what
// comes beyond its room ends it. A mutex, which nobody waits for long: a tap is rare, short, and of
// one connection. It wakes its owner once, when it is over.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace mooring::data {

class Tap final {
 public:
  struct Piece {
    std::chrono::system_clock::time_point at;
    bool from_client = false;
    std::string bytes;
  };

  // `over` is called once, from whatever thread the end comes: the room is used up, the connection
  // has ended, or Close. It may not call the Tap.
  Tap(std::size_t room, std::function<void()> over) : room_(room), over_(std::move(over)) {}
  Tap(const Tap&) = delete;
  Tap& operator=(const Tap&) = delete;

  // Add copies bytes while it is open. Without memory for them it is over.
  void Add(bool from_client, std::span<const std::uint8_t> bytes) noexcept;
  void Close() noexcept;
  bool closed() const;

  // Take gives what was collected, and whether it was cut for want of room. After Close.
  std::vector<Piece> Take(bool* cut);

 private:
  bool CloseLocked();

  mutable std::mutex mutex_;
  std::size_t room_;
  bool closed_ = false;
  bool cut_ = false;
  std::vector<Piece> pieces_;
  const std::function<void()> over_;
};

}  // namespace mooring::data
