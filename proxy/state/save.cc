#include "proxy/state/save.h"

#include <map>
#include <new>
#include <string_view>
#include <utility>

#include "tls/cleanse.h"
#include "tls/digest.h"

namespace mooring::state {
namespace {

// Prepare makes sure that we are in the directory that the paths name now, and alone in it.
Status Prepare(const std::string& directory, const std::string& subdirectory,
               std::optional<Folder>* folder) {
  if (*folder) {
    const Status renewed = (*folder)->Renew();
    if (!renewed) return renewed;
  } else {
    Result<Folder> opened = Folder::Open(directory, subdirectory);
    if (!opened) return opened.error();
    folder->emplace(std::move(*opened));
  }
  const Result<bool> locked = (*folder)->Lock();
  if (!locked) return locked.error();
  if (!*locked) return Error{ErrorCode::kUnavailable, HeldElsewhere(**folder)};
  return Ok();
}

// OldFile is what the file that is about to be replaced holds. Entries point into the content,
// which is cleansed in the end.
class OldFile final {
 public:
  OldFile() = default;
  ~OldFile() { tls::Cleanse(&content_); }
  OldFile(const OldFile&) = delete;
  OldFile& operator=(const OldFile&) = delete;

  // Load fails only when trying again may do better; a file that is of no use leaves a reason.
  Status Load(const Folder& folder, const Job& job) {
    Result<std::string> content = folder.Read(kStateFile, job.limit);
    if (!content) {
      if (content.error().code == ErrorCode::kUnavailable) return content.error();
      reason_ = content.error().code == ErrorCode::kNotFound ? "it has been removed"
                                                             : content.error().message;
      return Ok();
    }
    content_ = std::move(*content);
    Result<File> file = Decode(content_);
    if (!file) {
      reason_ = file.error().message;
    } else if (file->key.id != job.key.id || file->key.agent != job.key.agent) {
      reason_ = "it was saved for another proxy or agent";
    } else {
      for (Entry& entry : file->entries) entries_.emplace(entry.name, std::move(entry));
    }
    return Ok();
  }

  const Entry* Find(const std::string& name) const {
    const auto found = entries_.find(name);
    return found == entries_.end() ? nullptr : &found->second;
  }
  const std::string& reason() const { return reason_; }

 private:
  std::string content_;
  std::map<std::string, Entry> entries_;
  std::string reason_;
};

// Collect lists the new file's entries and notes in the outcome where each comes from.
std::vector<Entry> Collect(const OldFile& old_file, Outcome* outcome) {
  std::vector<Entry> entries;
  for (Outcome::Done& done : outcome->items) {
    const Item& item = done.item;
    const Entry* old_entry = item.body ? nullptr : old_file.Find(item.name);
    if (item.body) {
      done.written = true;
    } else if (old_entry != nullptr) {
      done.written = tls::Sha256Hex(old_entry->body) == item.digest;
      done.older = !done.written;
    } else {
      continue;
    }
    if (done.older) {
      entries.push_back(*old_entry);
    } else {
      entries.push_back({.name = item.name,
                         .headers = item.headers,
                         .body = item.body ? std::string_view(*item.body) : old_entry->body,
                         .confirmed = item.confirmed});
    }
  }
  return entries;
}

Status Write(const Folder& folder, const Job& job, Outcome* outcome) {
  OldFile old_file;
  bool needed = false;
  for (const Outcome::Done& done : outcome->items) needed = needed || !done.item.body;
  if (needed) {
    const Status loaded = old_file.Load(folder, job);
    if (!loaded) return loaded;
    outcome->old_file = old_file.reason();
  }
  const std::vector<Entry> entries = Collect(old_file, outcome);
  const Result<std::string> head = Encode(job.key, entries);
  if (!head) return head.error();
  std::vector<std::string_view> parts{*head};
  std::size_t size = head->size();
  for (const Entry& entry : entries) {
    parts.push_back(entry.body);
    size += entry.body.size();
  }
  // A file that the next start would refuse must not replace one that it would take.
  if (size > job.limit) return Invalid("the documents are too large for one file");
  return folder.Replace(kStateFile, parts);
}

}  // namespace

Outcome Save(const std::string& directory, const std::string& subdirectory,
             std::optional<Folder>* folder, Job& job) {
  Outcome outcome;
  outcome.items.reserve(job.items.size());  // from here on nothing of them is lost
  for (Item& item : job.items) outcome.items.push_back({.item = std::move(item)});
  try {
    outcome.status = Prepare(directory, subdirectory, folder);
    if (outcome.status) outcome.status = Write(**folder, job, &outcome);
  } catch (const std::bad_alloc&) {
    outcome.status = Error{ErrorCode::kUnavailable, "out of memory"};
  }
  for (Outcome::Done& done : outcome.items) {
    if (!outcome.status) done.written = done.older = false;
    if (done.item.body && (outcome.status || done.item.secret)) {
      if (done.item.secret) tls::Cleanse(&*done.item.body);
      done.item.body.reset();
    }
  }
  return outcome;
}

std::string HeldElsewhere(const Folder& folder) {
  return "another process holds " + folder.PathOf("lock");
}

}  // namespace mooring::state
