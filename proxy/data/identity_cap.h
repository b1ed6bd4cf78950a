// IdentityCap: how many connections each identity has over all workers, and how many it may have.
//
// An identity is kept while it has one, so there are never more of them than connections. Exact,
// under a lock. Any thread.
#pragma once

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
    Place() = default;  // of nobody
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
  explicit IdentityCap(unsigned most) : most_(most) {}

  // Enter is empty where this identity has as many as it may. It throws std::bad_alloc, and has
  // counted nothing then.
  std::optional<Place> Enter(std::string_view identity);

  std::int64_t limit() const { return most_; }
  // Largest is the identity with most, and how many it has; "" and 0: nobody has any.
  std::pair<std::string, std::int64_t> Largest() const;
  std::int64_t refused() const;  // ever, of all

 private:
  const std::int64_t most_;
  mutable std::mutex mutex_;
  Counts counts_;             // guarded by mutex_
  std::int64_t refused_ = 0;  // guarded by mutex_
};

}  // namespace mooring::data
