// Intentions: the store behind /v1/connect/intentions of `mooring dev`, with Consul 1.8's rules:
// IDs, one entry a pair of names, precedence by exactness.
//
// Pure; decisions are authz/intention.h's, the same as the proxy's. Layer 7 permissions are unknown
// here.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "authz/intention.h"
#include "authz/result.h"
#include "proxy/dev/state.h"

namespace mooring::dev {

struct StoredIntention {
  authz::Intention rule;
  std::string description;
  std::map<std::string, std::string> meta;
  std::string created_at;  // RFC 3339
  std::string updated_at;
  std::uint64_t create_index = 0;
  std::uint64_t modify_index = 0;

  Json Document() const;
  std::string Text() const;  // "DENY default/web => default/db (ID: ..., Precedence: 9)"
};

// ParseIntention reads the body of a create or an update; `id` of the result is the body's. Errors
// are texts of Consul's agent.
Result<StoredIntention> ParseIntention(std::string_view body);
// CheckRules is the rest of Consul's validation, which names must have passed before they are
// stored.
Status CheckRules(const StoredIntention& intention);

class Intentions final {
 public:
  Intentions(Index& index, std::function<void()> on_change);

  // Create gives the entry an ID, Update keeps the old one's ID and creation. Errors in Consul's
  // words: a second entry for the same pair of names, an ID that does not exist.
  Result<std::string> Create(StoredIntention intention, const std::string& now);
  Status Update(const std::string& id, StoredIntention intention, const std::string& now);
  bool Delete(const std::string& id);

  const StoredIntention* Find(const std::string& id) const;
  const StoredIntention* FindExact(const std::string& source_ns, const std::string& source,
                                   const std::string& destination_ns,
                                   const std::string& destination) const;

  enum class By { kSource, kDestination };
  // Match gives the entries that can matter to one service in one role, in the order of precedence.
  std::vector<const StoredIntention*> Match(By by, const std::string& ns,
                                            const std::string& name) const;
  std::vector<const StoredIntention*> All() const;

  // Decide is the first entry that covers the pair, or null.
  const StoredIntention* Decide(const std::string& source_ns, const std::string& source,
                                const std::string& destination_ns,
                                const std::string& destination) const;

  std::uint64_t index() const { return changed_at_; }

 private:
  const StoredIntention* Twin(const StoredIntention& intention) const;
  void Changed();

  Index& index_;
  std::function<void()> on_change_;
  std::uint64_t changed_at_;
  std::map<std::string, StoredIntention> entries_;  // by ID
};

}  // namespace mooring::dev
