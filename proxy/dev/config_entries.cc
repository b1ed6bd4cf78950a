#include "proxy/dev/config_entries.h"

#include <utility>

#include "proxy/dev/config_form.h"

namespace mooring::dev {

ConfigEntries::ConfigEntries(Index& index, std::function<void()> on_change)
    : index_(index), on_change_(std::move(on_change)), changed_at_(index.value) {}

void ConfigEntries::Put(Json entry) {
  const Key key{entry.value("Kind", ""), NameOf(entry)};
  Stored& stored = entries_[key];
  stored.entry = std::move(entry);
  changed_at_ = stored.modify_index = index_.Next();
  if (stored.create_index == 0) stored.create_index = changed_at_;
  on_change_();
}

bool ConfigEntries::Delete(const std::string& kind, const std::string& name) {
  if (entries_.erase(Key{kind, name}) == 0) return false;
  changed_at_ = index_.Next();
  on_change_();
  return true;
}

const Json* ConfigEntries::Find(const std::string& kind, const std::string& name) const {
  const auto found = entries_.find(Key{kind, name});
  return found == entries_.end() ? nullptr : &found->second.entry;
}

std::uint64_t ConfigEntries::EntryIndex(const std::string& kind, const std::string& name) const {
  const auto found = entries_.find(Key{kind, name});
  return found == entries_.end() ? 0 : found->second.modify_index;
}

Json ConfigEntries::Document(const std::string& kind, const std::string& name) const {
  const auto found = entries_.find(Key{kind, name});
  if (found == entries_.end()) return nullptr;
  const Stored& stored = found->second;
  return WithIndexes(stored.entry, stored.create_index, stored.modify_index);
}

Json ConfigEntries::Documents(const std::string& kind) const {
  Json list = Json::array();
  for (const auto& [key, stored] : entries_) {
    if (key.first == kind)
      list.push_back(WithIndexes(stored.entry, stored.create_index, stored.modify_index));
  }
  return list;
}

}  // namespace mooring::dev
