#include "proxy/state/ledger.h"

#include <algorithm>
#include <utility>

#include "tls/cleanse.h"
#include "tls/digest.h"

namespace mooring::state {
namespace {

void Drop(std::optional<std::string>* body) {
  if (*body) tls::Cleanse(&**body);
  body->reset();
}

void Drop(std::optional<Document>* document) {
  if (*document) tls::Cleanse(&(*document)->body);
  document->reset();
}

// HoldsKey sees a key before anybody has said that the document holds one. Both in PEM text and in
// JSON these words stand as they are.
bool HoldsKey(std::string_view body) {
  return body.find("PRIVATE KEY-----") != std::string_view::npos;
}

}  // namespace

Ledger::~Ledger() {
  for (auto& [name, record] : records_) {
    Drop(&record.body);
    Drop(&record.loaded);
  }
}

Ledger::Loaded Ledger::Load(const std::vector<Entry>& entries) {
  Loaded loaded;
  for (const Entry& entry : entries) {
    const bool secret = HoldsKey(entry.body);
    loaded.private_key = loaded.private_key || secret;
    if (secret && !keep_private_key_) {
      loaded.purge = true;
      continue;
    }
    Record& record = records_[entry.name];
    record.headers = entry.headers;
    record.confirmed = entry.confirmed;
    record.digest = tls::Sha256Hex(entry.body);
    record.in_file = true;
    record.waiting = true;
    record.secret = secret;
    record.loaded = Document{.name = entry.name,
                             .headers = entry.headers,
                             .body = std::string(entry.body),
                             .confirmed = entry.confirmed};
  }
  return loaded;
}

void Ledger::TakeOver(const std::vector<Entry>& entries) {
  for (const Entry& entry : entries) {
    if (HoldsKey(entry.body)) continue;
    Record& record = records_[entry.name];
    if (!record.digest.empty() && record.confirmed >= entry.confirmed) continue;
    std::string digest = tls::Sha256Hex(entry.body);
    if (digest != record.digest) {
      record.digest = std::move(digest);
      record.body.emplace(entry.body);
      record.in_file = false;
    }
    record.headers = entry.headers;
    record.confirmed = entry.confirmed;
    record.waiting = true;
    record.loaded = Document{.name = entry.name,
                             .headers = entry.headers,
                             .body = std::string(entry.body),
                             .confirmed = entry.confirmed,
                             .handed = true};
  }
}

std::vector<Entry> Ledger::InMemory() const {
  std::vector<Entry> entries;
  for (const auto& [name, record] : records_) {
    if (!record.body || record.secret || HoldsKey(*record.body)) continue;
    entries.push_back({.name = name,
                       .headers = record.headers,
                       .body = *record.body,
                       .confirmed = record.confirmed});
  }
  return entries;
}

bool Ledger::ForgetLoaded() {
  bool unfollowed = false;
  for (auto& [name, record] : records_) {
    record.waiting = false;
    Drop(&record.loaded);
    unfollowed = unfollowed || record.followers == 0;
  }
  return unfollowed;
}

void Ledger::Disown() {
  for (auto& [name, record] : records_) {
    if (record.live) continue;
    record.waiting = false;
    Forget(&record);
  }
}

void Ledger::Forget(Record* record) {
  Drop(&record->body);
  Drop(&record->loaded);
  record->digest.clear();
  record->in_file = false;
}

Ledger::Ticket Ledger::Follow(const std::string& name, bool secret, std::function<void()> again,
                              bool* purge) {
  followers_[++last_ticket_] = {.name = name, .again = std::move(again)};
  Record& record = records_[name];
  ++record.followers;
  record.waiting = false;
  record.secret = record.secret || secret;
  *purge = false;
  if (Withheld(record)) {
    *purge = record.in_file;
    Forget(&record);
  }
  return last_ticket_;
}

bool Ledger::Unfollow(Ticket ticket) {
  const auto found = followers_.find(ticket);
  if (found == followers_.end()) return false;
  Record& record = records_[found->second.name];
  followers_.erase(found);
  return --record.followers == 0;
}

std::optional<Document> Ledger::HandOut(Ticket ticket) {
  const auto found = followers_.find(ticket);
  if (found == followers_.end() || std::exchange(found->second.served, true)) return std::nullopt;
  Record& record = records_[found->second.name];
  return record.secret ? std::exchange(record.loaded, std::nullopt) : record.loaded;
}

Ledger::Kept Ledger::Keep(Ticket ticket, const Headers& headers, std::string_view body,
                          WallTime now) {
  const auto found = followers_.find(ticket);
  if (found == followers_.end()) return Kept::kIgnored;
  Record& record = records_[found->second.name];
  Drop(&record.loaded);
  if (Withheld(record)) return Kept::kIgnored;
  record.live = true;
  record.headers = headers;
  record.confirmed = now;
  std::string digest = tls::Sha256Hex(body);
  if (digest == record.digest && !Lost(record)) return Kept::kConfirmed;
  record.digest = std::move(digest);
  Drop(&record.body);
  record.body.emplace(body);
  record.in_file = false;
  record.saving = false;
  return Kept::kChanged;
}

void Ledger::DropBodies() {
  for (auto& [name, record] : records_) Drop(&record.body);
}

void Ledger::DropUnfollowed() {
  for (auto at = records_.begin(); at != records_.end();) {
    Record& record = at->second;
    if (record.waiting || record.followers > 0) {
      ++at;
      continue;
    }
    Drop(&record.body);
    Drop(&record.loaded);
    at = records_.erase(at);
  }
}

std::vector<Item> Ledger::TakeItems(Prune prune) {
  if (prune == Prune::kYes) DropUnfollowed();
  std::vector<Item> items;
  items.reserve(records_.size());
  for (const auto& [name, record] : records_) {
    if (record.digest.empty() || Withheld(record)) continue;
    items.push_back({.name = name,
                     .headers = record.headers,
                     .confirmed = record.confirmed,
                     .digest = record.digest,
                     .body = std::nullopt,
                     .secret = record.secret});
  }
  // Last, when nothing can fail any more: a body that is taken out comes back by Settle alone.
  for (Item& item : items) {
    Record& record = records_.find(item.name)->second;
    record.saving = record.body.has_value();
    item.body = std::exchange(record.body, std::nullopt);
  }
  return items;
}

void Ledger::Settle(Outcome* outcome) {
  for (Outcome::Done& done : outcome->items) {
    const auto found = records_.find(done.item.name);
    // Otherwise it has changed meanwhile, and what waits for the next save is newer.
    if (found == records_.end() || found->second.digest != done.item.digest) continue;
    Record& record = found->second;
    record.saving = false;
    if (outcome->status) {
      record.in_file = done.written;
      if (done.written) Drop(&record.body);
    } else if (done.item.body && !record.body) {
      record.body = std::exchange(done.item.body, std::nullopt);
    }
  }
}

bool Ledger::Lost(const Record& record) {
  return !record.digest.empty() && !record.body && !record.in_file && !record.saving;
}

bool Ledger::HasLost() const {
  return std::any_of(records_.begin(), records_.end(), [](const auto& entry) {
    return entry.second.followers > 0 && Lost(entry.second);
  });
}

void Ledger::AskAgain() {
  std::vector<Ticket> tickets;
  for (const auto& [ticket, follower] : followers_) {
    const auto found = records_.find(follower.name);
    if (found != records_.end() && Lost(found->second)) tickets.push_back(ticket);
  }
  for (const Ticket ticket : tickets) {
    const auto found = followers_.find(ticket);
    if (found == followers_.end()) continue;
    const std::function<void()> again = found->second.again;  // it may end its own following
    if (again) again();
  }
}

}  // namespace mooring::state
