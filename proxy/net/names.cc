#include "proxy/net/names.h"

#include <algorithm>

namespace mooring::net {
namespace {

std::string Lower(std::string host) {
  for (char& c : host) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return host;
}

}  // namespace

struct Names::Asker {
  Names* names;  // null: it has left
  Entry* entry;
  OnFound on_found;
  bool once;
};

struct Names::Entry {
  enum class State { kIdle, kQueued, kUnderWay };
  enum class Counted { kNot, kQuick, kSlow };

  std::string host;
  State state = State::kIdle;
  Counted counted = Counted::kNot;  // among the look-ups for endpoints
  bool own = false;                 // somebody asked for it as a name of our own
  bool slow = false;                // the look-up under way, or else the last one, took kSlow
  unsigned failures = 0;            // in a row
  std::optional<std::vector<SocketAddress>> known;
  std::optional<MonotonicTime> not_before;  // of the next look-up
  MonotonicTime started{};                  // of the look-up under way
  std::optional<MonotonicTime> next;        // where it stands in the schedule
  MonotonicTime left_at{};                  // when the last asker left
  std::vector<std::shared_ptr<Asker>> askers;

  bool Followed() const {
    return std::any_of(askers.begin(), askers.end(),
                       [](const auto& asker) { return !asker->once; });
  }
};

Names::Interest& Names::Interest::operator=(Interest&& other) noexcept {
  if (this != &other) {
    End();
    asker_ = std::move(other.asker_);
  }
  return *this;
}

void Names::Interest::End() {
  if (const auto asker = std::exchange(asker_, nullptr); asker && asker->names != nullptr)
    asker->names->Leave(asker.get());
}

const std::vector<SocketAddress>* Names::Interest::Known() const {
  if (!asker_ || asker_->names == nullptr || !asker_->entry->known) return nullptr;
  return &*asker_->entry->known;
}

Names::Names(World world) : world_(std::move(world)) {}

Names::~Names() {
  for (auto& [host, entry] : entries_) {
    for (auto& asker : entry->askers) asker->names = nullptr;
  }
}

Names::Interest Names::Follow(const std::string& host, NameKind kind, OnFound on_found) {
  return Join(host, kind, std::move(on_found), false);
}

Names::Interest Names::Ask(const std::string& host, NameKind kind, OnFound on_found) {
  return Join(host, kind, std::move(on_found), true);
}

Names::Interest Names::Join(const std::string& host, NameKind kind, OnFound on_found, bool once) {
  auto& slot = entries_[Lower(host)];
  if (!slot) {
    slot = std::make_unique<Entry>();
    slot->host = Lower(host);
  }
  Entry* entry = slot.get();
  if (kind == NameKind::kOwn && !std::exchange(entry->own, true)) {
    // It has waited as an endpoint's; as ours it does not.
    if (entry->not_before)
      entry->not_before = std::min(*entry->not_before, world_.now() + kRetryOwn.most);
    if (entry->state == Entry::State::kQueued) {
      std::erase(new_, entry);
      std::erase(slow_, entry);
      entry->state = Entry::State::kIdle;
      entry->not_before.reset();
    }
  }
  auto asker = std::make_shared<Asker>(Asker{this, entry, std::move(on_found), once});
  entry->askers.push_back(asker);
  // Who waits wants to know what is true now, not what was up to half a minute ago.
  if (once && entry->failures == 0 && entry->state == Entry::State::kIdle)
    entry->not_before.reset();
  Want(entry);
  // What it resolved to will have to do: told by the next Tick, which is at once.
  if (once && entry->known && (entry->failures > 0 || entry->slow)) Schedule(entry, world_.now());
  return Interest(std::move(asker));
}

void Names::Leave(Asker* asker) {
  asker->names = nullptr;
  Entry* entry = asker->entry;
  std::erase_if(entry->askers, [asker](const auto& each) { return each.get() == asker; });
  if (!entry->askers.empty()) return;
  entry->left_at = world_.now();
  Forget(entry);
}

void Names::Want(Entry* entry) {
  if (entry->state != Entry::State::kIdle) return;
  if (entry->not_before && *entry->not_before > world_.now()) {
    Schedule(entry, entry->not_before);
    return;
  }
  if (entry->own) {
    Start(entry);
    return;
  }
  entry->state = Entry::State::kQueued;
  Schedule(entry, std::nullopt);
  (entry->slow ? slow_ : new_).push_back(entry);
  StartQueued();
}

void Names::StartQueued() {
  while (!new_.empty() && quick_count_ < kMaxQuick && quick_count_ + slow_count_ < kMaxAll) {
    Entry* entry = new_.front();
    new_.pop_front();
    entry->counted = Entry::Counted::kQuick;
    ++quick_count_;
    Start(entry);
  }
  while (!slow_.empty() && slow_count_ < kMaxSlow) {
    Entry* entry = slow_.front();
    slow_.pop_front();
    entry->counted = Entry::Counted::kSlow;
    ++slow_count_;
    Start(entry);
  }
}

void Names::Start(Entry* entry) {
  entry->state = Entry::State::kUnderWay;
  entry->slow = false;
  entry->started = world_.now();
  Schedule(entry, entry->started + kSlow);
  try {
    world_.look_up(entry->host, entry->own ? NameKind::kOwn : NameKind::kEndpoint,
                   [this, alive = std::weak_ptr<bool>(alive_), host = entry->host](Found found) {
                     if (!alive.expired()) Answered(host, std::move(found));
                   });
  } catch (...) {  // nobody will answer: the schedule asks again
    NotUnderWay(entry);
    throw;
  }
}

void Names::NotUnderWay(Entry* entry) {
  entry->state = Entry::State::kIdle;
  if (entry->counted == Entry::Counted::kQuick) --quick_count_;
  if (entry->counted == Entry::Counted::kSlow) --slow_count_;
  entry->counted = Entry::Counted::kNot;
}

void Names::Answered(const std::string& host, Found found) {
  Entry* entry = entries_.at(host).get();  // one that is under way is never forgotten
  NotUnderWay(entry);
  if (found) {
    entry->failures = 0;
    entry->known = *found;
    entry->not_before = world_.now() + RetryPause::Regular(kAgain, world_.random());
  } else {
    const RetryPause::Bounds bounds = entry->own ? kRetryOwn : kRetryEndpoint;
    entry->not_before =
        world_.now() + RetryPause::AfterFailures(++entry->failures, bounds, world_.random());
  }
  Schedule(entry, entry->Followed() ? entry->not_before : std::nullopt);
  if (entry->askers.empty()) {
    Forget(entry);
  } else {
    Tell(entry, found, true);  // the entry may be gone after this
  }
  StartQueued();
}

void Names::BecameSlow(Entry* entry) {
  entry->slow = true;
  if (entry->counted == Entry::Counted::kQuick) {
    entry->counted = Entry::Counted::kSlow;
    --quick_count_;
    ++slow_count_;
  }
}

void Names::Tell(Entry* entry, const Found& found, bool all) {
  // Who waits for this answer leaves before it is told; who is told may end any interest, and begin
  // others.
  std::vector<std::shared_ptr<Asker>> told;
  for (const auto& asker : entry->askers) {
    if (all || asker->once) told.push_back(asker);
  }
  const Found instead = !found && entry->known ? Found(*entry->known) : found;
  for (const auto& asker : told) {
    if (asker->names == nullptr) continue;
    const OnFound on_found = asker->on_found;
    const bool once = asker->once;
    if (once) Leave(asker.get());
    on_found(once ? instead : found);
  }
}

void Names::Schedule(Entry* entry, std::optional<MonotonicTime> next) {
  if (entry->next) schedule_.erase({*entry->next, entry});
  entry->next = next;
  if (next) schedule_.insert({*next, entry});
  Rearm();
}

void Names::Forget(Entry* entry) {
  if (!entry->askers.empty() || entry->state == Entry::State::kUnderWay) return;
  if (entry->state == Entry::State::kQueued) {
    std::erase(new_, entry);
    std::erase(slow_, entry);
    entry->state = Entry::State::kIdle;
  }
  const MonotonicTime until = entry->left_at + kRemembered;
  if (entry->own && world_.now() < until) {
    Schedule(entry, until);
    return;
  }
  Schedule(entry, std::nullopt);
  entries_.erase(entry->host);
}

void Names::Tick() {
  const MonotonicTime now = world_.now();
  while (!schedule_.empty() && schedule_.begin()->first <= now) {
    Entry* entry = schedule_.begin()->second;
    Schedule(entry, std::nullopt);
    const std::string host = entry->host;
    if (entry->state == Entry::State::kUnderWay) {
      if (now - entry->started >= kSlow) {
        BecameSlow(entry);
      } else {
        Schedule(entry, entry->started + kSlow);
      }
    }
    // Tell may end it: what follows looks again.
    if (entry->known && (entry->slow || entry->failures > 0))
      Tell(entry, Found(*entry->known), false);
    const auto found = entries_.find(host);
    if (found == entries_.end()) continue;
    if (found->second->askers.empty()) {
      Forget(found->second.get());
    } else {
      Want(found->second.get());
    }
  }
  StartQueued();
  Rearm();
}

void Names::Rearm() {
  if (schedule_.empty()) return;
  const auto wait =
      std::chrono::duration_cast<milliseconds>(schedule_.begin()->first - world_.now());
  world_.wake(std::max(milliseconds(0), wait));
}

}  // namespace mooring::net
