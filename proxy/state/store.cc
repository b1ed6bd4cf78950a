#include "proxy/state/store.h"

#include <algorithm>
#include <utility>

#include "tls/cleanse.h"

namespace mooring::state {
namespace {

using Clock = std::chrono::steady_clock;

// More different errors than this in one spell of failing are not logged.
constexpr std::size_t kMaxSaid = 16;

std::string PathOfFile(const Store::Options& options) {
  if (options.directory.empty()) return {};
  std::string path = options.directory;
  while (path.ends_with('/')) path.pop_back();
  return path + "/" + options.subdirectory + "/" + kStateFile;
}

// Mismatch says why documents saved for `saved` are not ours; empty if they are.
std::string Mismatch(const Key& saved, const Key& ours, const std::string& expected_datacenter) {
  if (saved.id != ours.id)
    return "it was saved for \"" + saved.id + "\", this is \"" + ours.id + "\"";
  if (saved.agent != ours.agent) {
    return "it was saved from the agent " + saved.agent + ", ours is " + ours.agent;
  }
  if (!expected_datacenter.empty() && saved.datacenter != expected_datacenter) {
    return "it was saved in datacenter \"" + saved.datacenter + "\", ours is \"" +
           expected_datacenter + "\"";
  }
  return "";
}

}  // namespace

Result<std::unique_ptr<Store>> Store::Open(net::Loop& loop, log::Log& log, Options options) {
  std::optional<Folder> folder;
  std::string unsavable;
  std::string refused;
  const bool in_memory = options.directory.empty();
  Result<Folder> opened = in_memory ? Error{ErrorCode::kNotFound, "no directory"}
                                    : Folder::Open(options.directory, options.subdirectory);
  if (in_memory) {
    options.keep_private_key = false;
  } else if (opened) {
    folder = std::move(*opened);
  } else if (opened.error().code == ErrorCode::kUnavailable) {
    unsavable = opened.error().message;
  } else {
    return opened.error();
  }
  std::optional<std::string> content;
  if (folder) {
    const Result<bool> locked = options.waits ? Result<bool>(true) : folder->Lock();
    if (options.waits) {
      // what is left over is the other's
    } else if (!locked) {
      unsavable = locked.error().message;
    } else if (!*locked) {
      unsavable = HeldElsewhere(*folder);
    } else {
      folder->RemoveLeftover(kStateFile);  // it may hold a key
    }
    Result<std::string> read = folder->Read(kStateFile, options.limit);
    if (read) {
      content = std::move(*read);
    } else if (read.error().code != ErrorCode::kNotFound) {
      refused = read.error().message;
    }
  }
  std::unique_ptr<Store> store(new Store(loop, log, std::move(options), std::move(folder)));
  if (content) {
    refused = store->Load(*content);
    tls::Cleanse(&*content);
  }
  if (!refused.empty()) store->Refused(refused);
  store->TakeOver();
  if (!unsavable.empty()) store->Failed(unsavable);
  store->Schedule();
  return store;
}

Store::Store(net::Loop& loop, log::Log& log, Options options, std::optional<Folder> folder)
    : log_(log),
      options_(std::move(options)),
      file_(PathOfFile(options_)),
      ledger_(options_.keep_private_key),
      timer_(loop,
             [this] {
               try {
                 OnTimer();
               } catch (...) {
                 Unsaved(options_.timing.retry);
                 Schedule();
                 throw;
               }
             }),
      grace_(loop, [this] { OnGrace(); }),
      self_(std::make_shared<Store*>(this)) {
  if (!options_.directory.empty()) {
    disk_.emplace(options_.disk ? options_.disk : std::make_shared<DiskThread>(),
                  options_.directory, options_.subdirectory, std::move(folder),
                  [&loop, self = std::weak_ptr<Store*>(self_)] {
                    loop.Post([self] {
                      if (const std::shared_ptr<Store*> store = self.lock()) (*store)->Finish();
                    });
                  });
  }
  view_.file = file_;
  grace_.Start(options_.timing.grace);
}

Store::~Store() {
  Close();
  self_.reset();
}

Result<File> Store::Check(std::string_view content) {
  Result<File> file = Decode(content);
  if (!file) return file;
  if (std::string mismatch = Mismatch(file->key, options_.key, options_.expected_datacenter);
      !mismatch.empty())
    return Invalid(std::move(mismatch));
  loaded_datacenter_ = file->key.datacenter;
  if (options_.key.datacenter.empty()) options_.key.datacenter = loaded_datacenter_;
  return file;
}

// Load gives the reason why the content is not used, if so.
std::string Store::Load(std::string_view content) {
  const Result<File> file = Check(content);
  if (!file) return file.error().message;
  const Ledger::Loaded loaded = ledger_.Load(file->entries);
  view_.documents = file->entries.size();
  view_.private_key = loaded.private_key;
  if (loaded.purge) {
    purge_ = true;
    Unsaved(options_.timing.gather);
  }
  return "";
}

void Store::TakeOver() {
  const std::string content = std::exchange(options_.handed, {});
  if (content.empty()) return;
  const Result<File> file = Check(content);
  if (!file) {
    log_.Err("state", "the predecessor's documents are not used",
             {{"reason", file.error().message}});
    return;
  }
  ledger_.TakeOver(file->entries);
  Unsaved(options_.timing.gather);
}

Result<std::string> Store::Documents() const {
  const std::vector<Entry> entries = ledger_.InMemory();
  if (entries.empty()) return std::string();
  Result<std::string> content = Encode(options_.key, entries);
  if (!content) return content;
  std::size_t size = content->size();
  for (const Entry& entry : entries) size += entry.body.size();
  if (size > options_.limit) return Invalid("the documents are too large for one file");
  content->reserve(size);
  for (const Entry& entry : entries) content->append(entry.body);
  return content;
}

Store::Ticket Store::Follow(const std::string& name, bool secret, std::function<void()> again) {
  bool purge = false;
  const Ticket ticket = ledger_.Follow(name, secret, std::move(again), &purge);
  if (purge) {
    purge_ = true;
    Unsaved(options_.timing.gather);
    Schedule();
  }
  return ticket;
}

void Store::Unfollow(Ticket ticket) {
  if (!ledger_.Unfollow(ticket)) return;
  Unsaved(options_.timing.confirm);
  Schedule();
}

void Store::Keep(Ticket ticket, const Headers& headers, std::string_view body) {
  if (closed_) return;
  switch (ledger_.Keep(ticket, headers, body, std::chrono::system_clock::now())) {
    case Ledger::Kept::kIgnored: return;
    case Ledger::Kept::kConfirmed: Unsaved(options_.timing.confirm); break;
    case Ledger::Kept::kChanged: Unsaved(options_.timing.gather); break;
  }
  Schedule();
}

void Store::SetDatacenter(const std::string& datacenter) {
  if (datacenter == options_.key.datacenter) return;
  options_.key.datacenter = datacenter;
  if (!loaded_datacenter_.empty() && datacenter != loaded_datacenter_) {
    Refused("it was saved in datacenter \"" + loaded_datacenter_ + "\", ours is \"" + datacenter +
            "\"");
    loaded_datacenter_.clear();
    ledger_.Disown();
  }
  Unsaved(options_.timing.gather);
  Schedule();
}

bool Store::Close() {
  if (closed_) return !Busy();
  closed_ = true;
  timer_.Stop();
  grace_.Stop();
  const net::MonotonicTime deadline = Clock::now() + options_.timing.close;
  if (Busy()) {
    if (!disk_->Wait(deadline)) return false;
    Finish();
  }
  if (!dirty_ || options_.waits) return true;
  // Nothing is dropped now: at the end nobody follows any more, and all of it is what the next
  // start needs.
  StartSave(Ledger::Prune::kNo);
  if (!Busy()) return true;
  if (!disk_->Wait(deadline)) return false;
  Finish();
  return true;
}

void Store::Begin() {
  options_.waits = false;
  Schedule();
}

bool Store::Leave() {
  if (!Close()) return false;
  if (disk_) disk_->LetGo();
  ledger_.DropBodies();
  return true;
}

Store::View Store::view() const { return view_; }

// Unsaved notes that the file is no longer what it should be.
void Store::Unsaved(net::milliseconds from_now) {
  dirty_ = true;
  Want(Clock::now() + from_now);
}

void Store::Want(net::MonotonicTime when) { due_ = due_ ? std::min(*due_, when) : when; }

void Store::Schedule() {
  if (closed_ || options_.waits || Busy() || !due_) return timer_.Stop();
  net::MonotonicTime when = *due_;
  if (last_start_) when = std::max(when, *last_start_ + options_.timing.Distance(last_took_));
  timer_.Start(std::chrono::ceil<net::milliseconds>(when - Clock::now()));
}

void Store::OnTimer() {
  const net::MonotonicTime now = Clock::now();
  due_.reset();
  if (ledger_.HasLost()) {
    if (now >= ask_at_) {
      // What is lost is fetched first, so that it comes into the file with this save, not with
      // another.
      ask_at_ = now + options_.timing.retry;
      Want(dirty_ ? now + options_.timing.answer : ask_at_);
      ledger_.AskAgain();
      return Schedule();
    }
    Want(ask_at_);
  }
  if (dirty_) StartSave(Ledger::Prune::kYes);
  Schedule();
}

void Store::OnGrace() {
  if (ledger_.ForgetLoaded()) Unsaved(options_.timing.confirm);
  Schedule();
}

void Store::StartSave(Ledger::Prune prune) {
  dirty_ = false;
  if (!disk_) {
    if (prune == Ledger::Prune::kYes) ledger_.DropUnfollowed();
    return;
  }
  std::vector<Item> items = ledger_.TakeItems(prune);
  // Having nothing is no reason to take from the next start what is there.
  if (items.empty() && !purge_) return;
  last_start_ = Clock::now();
  disk_->Start({.key = options_.key, .items = std::move(items), .limit = options_.limit});
}

void Store::Finish() {
  std::optional<Outcome> outcome = disk_->Take();
  if (!outcome) return;
  last_took_ = std::chrono::ceil<net::milliseconds>(Clock::now() - *last_start_);
  ledger_.Settle(&*outcome);
  if (outcome->status) {
    Succeeded(*outcome);
    if (!outcome->old_file.empty()) Refused(outcome->old_file);
    if (ledger_.HasLost()) Want(std::max(Clock::now(), ask_at_));
  } else {
    Failed(outcome->status.error().message);
  }
  Schedule();
}

void Store::Succeeded(const Outcome& outcome) {
  view_.saved_at = Clock::now();
  view_.error.clear();
  view_.documents = 0;
  view_.private_key = false;
  for (const Outcome::Done& done : outcome.items) {
    if (!done.written && !done.older) continue;
    ++view_.documents;
    view_.private_key = view_.private_key || done.item.secret;
  }
  purge_ = false;
  if (std::exchange(failing_, false)) log_.Info("state", "state is saved now", {{"file", file_}});
  said_.clear();
}

void Store::Failed(const std::string& error) {
  view_.error = error;
  failing_ = true;
  Unsaved(options_.timing.retry);
  if (said_.size() < kMaxSaid && said_.insert(error).second) {
    log_.Warn("state", "state not saved; going on from memory",
              {{"file", file_}, {"error", error}});
  }
}

void Store::Refused(const std::string& reason) {
  log_.Err("state", "saved state not used", {{"file", file_}, {"reason", reason}});
}

}  // namespace mooring::state
