// IdentityCap: how many connections each identity has over all workers, and how many it may have.
//
// An identity is kept while it has one, so there are never more of them than connections. Exact,
// under a lock. Any thread. The limit is the control thread's to set; while there is none nobody is
// counted, so that a later one holds for who comes from then on.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace mooring::data {

class IdentityCap final : public std::enable_shared_from_this<IdentityCap> {
 public:
  using Counts = std::map<std::string, std::int64_t, std::less<>>;

  // Place is one connection of one identity, until it ends.
  class Place final {
   public:
    Place() = default;  // of nobody, or not counted
    ~Place() { Return(); }
    Place(Place&& other) noexcept;
    Place& operator=(Place&& other) noexcept;
    void Return() noexcept;

   private:
    friend class IdentityCap;
    std::shared_ptr<IdentityCap> cap_;
    Counts::iterator whose_;
  };

  // Owned by shared pointers, of which each Place is one.
  explicit IdentityCap(std::optional<unsigned> most = std::nullopt) { SetLimit(most); }

  void SetLimit(std::optional<unsigned> most) noexcept {
    most_.store(most ? std::int64_t{*most} : kNoLimit, std::memory_order_relaxed);
  }

  // Enter is empty where this identity has as many as it may. It throws std::bad_alloc, and has
  // counted nothing then.
  std::optional<Place> Enter(std::string_view identity);

  std::optional<std::int64_t> limit() const noexcept {
    const std::int64_t most = most_.load(std::memory_order_relaxed);
    return most == kNoLimit ? std::nullopt : std::optional(most);
  }
  // Largest is the identity with most, and how many it has; "" and 0: nobody has any.
  std::pair<std::string, std::int64_t> Largest() const;
  std::int64_t refused() const;  // ever, of all

 private:
  static constexpr std::int64_t kNoLimit = -1;

  std::atomic<std::int64_t> most_{kNoLimit};
  mutable std::mutex mutex_;
  Counts counts_;             // guarded by mutex_
  std::int64_t refused_ = 0;  // guarded by mutex_
};

}  // namespace mooring::data
