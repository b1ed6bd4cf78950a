// Intentions: the store behind /v1/connect/intentions of `mooring dev`, and behind the config
// entries service-intentions, which in Consul 1.21 are the same thing seen from the other side.
//
// Like Consul 1.21, all entries of one destination are one config entry: written as one, checked as
// one, with one index. An ID is what the older part of the API gives, and a write by the newer part
// takes the IDs of that destination away. Like 1.8, every intention stands for itself and has an
// ID. Pure; precedence is authz/intention.h's, the same as the proxy's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "authz/intention.h"
#include "authz/result.h"
#include "proxy/dev/like.h"
#include "proxy/dev/state.h"

namespace mooring::dev {

inline constexpr const char* kServiceIntentions = "service-intentions";

struct StoredIntention {
  authz::Intention rule;  // its ID is empty if it was written by names or as a config entry
  std::string action;     // allow or deny; empty with permissions
  Json permissions;       // of layer 7, as they were written; null: none
  Json jwt;               // of the whole destination; null: none
  std::string description;
  std::map<std::string, std::string> meta;
  std::string created_at;  // RFC 3339; empty without an ID
  std::string updated_at;
  std::uint64_t create_index = 0;
  std::uint64_t modify_index = 0;  // 0: the next write of its destination gives it one

  // Allows: what the agent says of it. It cannot judge layer 7, so it denies there.
  bool Allows() const { return permissions.is_null() && rule.action == authz::Action::kAllow; }
  Json Document(Like like) const;
  // Text is how the agent names it: "default/web => default/db (Precedence: 9, Action: DENY)".
  std::string Text(Like like) const;
};

// ParseIntention reads the body of a create or an update; `id` of the result is the body's. Errors
// are texts of Consul's agent.
Result<StoredIntention> ParseIntention(std::string_view body, Like like);

class Intentions final {
 public:
  Intentions(Like like, Index& index, std::function<void()> on_change);

  // By ID. Create gives the entry one, Update keeps it and the time of creation. Errors in Consul's
  // words: a second entry for the same names, an ID that does not exist, a destination whose
  // entries were written otherwise since.
  Result<std::string> Create(StoredIntention intention, const std::string& now);
  Status Update(const std::string& id, StoredIntention intention, const std::string& now);
  Status Delete(const std::string& id);

  // By names.
  Status Write(StoredIntention intention, const std::string& now);
  Status Erase(const std::string& source_ns, const std::string& source,
               const std::string& destination_ns, const std::string& destination);

  // As a config entry, like 1.21 only. `entry` is in the form of ConfigForm.
  Status WriteEntry(const Json& entry);
  bool EraseEntry(const std::string& destination);
  Json EntryDocument(const std::string& destination) const;  // null: there is none
  std::vector<std::string> EntryNames() const;
  std::uint64_t EntryIndex(const std::string& destination) const;  // of its last change; 0: none

  const StoredIntention* Find(const std::string& id) const;
  const StoredIntention* FindExact(const std::string& source_ns, const std::string& source,
                                   const std::string& destination_ns,
                                   const std::string& destination) const;

  enum class By { kSource, kDestination };
  // Match gives the entries that can matter to one service in one role, in the order of precedence.
  std::vector<const StoredIntention*> Match(By by, const std::string& ns,
                                            const std::string& name) const;
  std::vector<const StoredIntention*> All() const;

  // Decide is the first entry that covers the pair, or null. Those of a peer cover none of ours.
  const StoredIntention* Decide(const std::string& source_ns, const std::string& source,
                                const std::string& destination_ns,
                                const std::string& destination) const;

  std::uint64_t index() const { return changed_at_; }

 private:
  using Key = std::pair<std::string, std::string>;  // namespace and name of a destination
  struct Destination {
    std::vector<StoredIntention> sources;
    Json jwt;
    std::map<std::string, std::string> meta;
    std::uint64_t create_index = 0;
    std::uint64_t modify_index = 0;
  };
  // Way is how a write came: by ID, or by names or as an entry, which leaves no ID in it.
  enum class Way { kById, kByNames };

  static Key KeyOf(const StoredIntention& intention);
  Destination Copy(const Key& key) const;
  // Commit puts `changed` in the place of what there was, if it is sound; without sources it goes.
  Status Commit(const Key& key, Destination changed, Way way);
  Status MayChangeById(const Key& key) const;
  const StoredIntention* Twin(const StoredIntention& intention) const;

  const Like like_;
  Index& index_;
  std::function<void()> on_change_;
  std::uint64_t changed_at_;
  std::map<Key, Destination> destinations_;
};

}  // namespace mooring::dev
