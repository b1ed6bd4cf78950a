// Recent: the connections of each service that have ended last, and apart from them the last that
// were refused or have failed, so that many good ones push none of those out.
//
// Always kept, and bounded. Written by one thread, read by any; the lock is held for as long as
// pointers are copied.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/observe/account.h"

namespace mooring::observe {

class Recent final {
 public:
  static constexpr std::size_t kEnded = 256;   // of each service
  static constexpr std::size_t kFailed = 128;  // of each service

  // Add has one more service: those that are called by this number in reports. Remove forgets it.
  void Add(unsigned service);
  void Remove(unsigned service);

  // Keep keeps one that has ended, if its service is there. It may throw std::bad_alloc.
  void Keep(std::shared_ptr<const Account> account);

  struct Question {
    std::optional<unsigned> service{};  // absent: all of them
    // in the peer's address, source, destination, SPIFFE ID or reason; empty: any
    std::string_view match{};
    std::size_t offset = 0;      // of each list, the newest left out
    std::size_t limit = kEnded;  // of each list
  };
  struct Answer {
    std::vector<std::shared_ptr<const Account>> ended, failed;  // the newest first
  };
  Answer Ask(const Question& question) const;

 private:
  using Ring = std::deque<std::shared_ptr<const Account>>;
  struct OfService {
    Ring ended, failed;
  };

  mutable std::mutex mutex_;
  std::map<unsigned, OfService> services_;  // guarded by mutex_
};

// RecentJson is the document of /recent; `missing` is how many reports nobody had time for.
std::string RecentJson(const Recent::Answer& answer, std::uint64_t missing);

}  // namespace mooring::observe
