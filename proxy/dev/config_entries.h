// ConfigEntries: the config entries of `mooring dev`, besides service-intentions (intentions.h).
// Pure; alive in memory only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "proxy/dev/body.h"
#include "proxy/dev/state.h"

namespace mooring::dev {

class ConfigEntries final {
 public:
  ConfigEntries(Index& index, std::function<void()> on_change);

  // Put stores an entry that is in the form of ConfigForm.
  void Put(Json entry);
  bool Delete(const std::string& kind, const std::string& name);

  const Json* Find(const std::string& kind, const std::string& name) const;  // or null
  Json Document(const std::string& kind, const std::string& name) const;     // null: there is none
  Json Documents(const std::string& kind) const;                             // a list
  std::uint64_t EntryIndex(const std::string& kind, const std::string& name) const;  // 0: none

  // index is that of the last change to any entry.
  std::uint64_t index() const { return changed_at_; }

 private:
  using Key = std::pair<std::string, std::string>;
  struct Stored {
    Json entry;
    std::uint64_t create_index = 0;
    std::uint64_t modify_index = 0;
  };

  Index& index_;
  std::function<void()> on_change_;
  std::uint64_t changed_at_;
  std::map<Key, Stored> entries_;
};

}  // namespace mooring::dev
