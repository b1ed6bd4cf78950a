// Cap: how many connections of one kind there are over all workers, and how many there may be.
//
// Exact: of two workers that ask at once for the last place one gets it. Any thread; the limit is
// the control thread's to set, and holds for whoever asks from then on.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

namespace mooring::data {

class Cap final {
 public:
  // SetLimit: nullopt is no limit, 0 lets nobody in.
  void SetLimit(std::optional<unsigned> most) noexcept {
    most_.store(most ? std::int64_t{*most} : kNoLimit, std::memory_order_relaxed);
  }
  std::optional<std::int64_t> limit() const noexcept {
    const std::int64_t most = most_.load(std::memory_order_relaxed);
    return most == kNoLimit ? std::nullopt : std::optional(most);
  }
  std::int64_t count() const noexcept { return count_.load(std::memory_order_relaxed); }
  // refused is how often there was no place, ever.
  std::int64_t refused() const noexcept { return refused_.load(std::memory_order_relaxed); }

 private:
  friend class Place;
  static constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();

  bool Enter() noexcept {
    std::int64_t now = count();
    do {
      if (now >= most_.load(std::memory_order_relaxed)) {
        refused_.fetch_add(1, std::memory_order_relaxed);
        return false;
      }
    } while (!count_.compare_exchange_weak(now, now + 1, std::memory_order_relaxed));
    return true;
  }
  void EnterAnyway() noexcept { count_.fetch_add(1, std::memory_order_relaxed); }
  void Leave() noexcept { count_.fetch_sub(1, std::memory_order_relaxed); }

  std::atomic<std::int64_t> count_{0};
  std::atomic<std::int64_t> most_{kNoLimit};
  std::atomic<std::int64_t> refused_{0};
};

// Place is one of those that a Cap counts. It is given back once, at the latest when this object
// ends.
class Place final {
 public:
  Place() = default;  // in nothing
  // In takes a place; it is empty where there is none. EvenIfFull is for who had one before.
  static Place In(std::shared_ptr<Cap> cap) noexcept {
    return Place(cap->Enter() ? std::move(cap) : nullptr);
  }
  static Place EvenIfFull(std::shared_ptr<Cap> cap) noexcept {
    cap->EnterAnyway();
    return Place(std::move(cap));
  }
  ~Place() { Return(); }
  Place(Place&& other) noexcept : cap_(std::move(other.cap_)) {}
  Place& operator=(Place&& other) noexcept {
    if (this != &other) {
      Return();
      cap_ = std::move(other.cap_);
    }
    return *this;
  }
  explicit operator bool() const { return cap_ != nullptr; }
  void Return() noexcept {
    if (cap_) std::exchange(cap_, nullptr)->Leave();
  }

 private:
  explicit Place(std::shared_ptr<Cap> cap) noexcept : cap_(std::move(cap)) {}
  std::shared_ptr<Cap> cap_;
};

}  // namespace mooring::data
