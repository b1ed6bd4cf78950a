// Ledger: which documents are followed, which body of each was seen last, and where that body is:
// waiting in memory, on its way to the disk, in the file, or lost. It knows no clock, disk or loop;
// one thread.
//
// A body is held only from its arrival to the next save. What a failed save leaves: an ordinary
// body waits for the next try; a secret one is gone, and its followers are asked to fetch it again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/state/save.h"

namespace mooring::state {

class Ledger final {
 public:
  using Ticket = std::uint64_t;
  enum class Kept { kIgnored, kConfirmed, kChanged };
  enum class Prune { kNo, kYes };

  explicit Ledger(bool keep_private_key) : keep_private_key_(keep_private_key) {}
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // Load takes up what the file holds, to be handed out.
  struct Loaded {
    bool private_key = false;  // one is in the file
    bool purge = false;        // and must not be
  };
  Loaded Load(const std::vector<Entry>& entries);
  // TakeOver takes up what a predecessor had in memory, where it is newer than what Load has found.
  // It waits for a save like a live answer. A key is left out.
  void TakeOver(const std::vector<Entry>& entries);
  // InMemory lists what is in no file, and holds no key, for a successor. The entries point in here
  // until the next call.
  std::vector<Entry> InMemory() const;
  // ForgetLoaded ends the handing out; what nobody has followed so far goes from the file with the
  // next save. True if there is such.
  bool ForgetLoaded();
  // Disown forgets whatever was loaded and not confirmed by a live answer since, in the file as
  // well.
  void Disown();

  // Follow: *purge is set if the file holds this document and must not. Unfollow: true if nobody is
  // left.
  Ticket Follow(const std::string& name, bool secret, std::function<void()> again, bool* purge);
  bool Unfollow(Ticket ticket);
  // HandOut gives the loaded document once to each follower; a secret one once.
  std::optional<Document> HandOut(Ticket ticket);
  Kept Keep(Ticket ticket, const Headers& headers, std::string_view body, WallTime now);

  // TakeItems lists the next file's documents, with the bodies that wait for a save. With kYes
  // those that nobody follows are dropped, with kNo they stay as they are.
  std::vector<Item> TakeItems(Prune prune);
  // DropBodies is for who saves no more, and hands nothing on.
  void DropBodies();
  // DropUnfollowed drops those that nobody follows.
  void DropUnfollowed();
  // Settle learns what became of them.
  void Settle(Outcome* outcome);

  bool HasLost() const;
  // AskAgain calls the followers of what is lost; they may call back in here.
  void AskAgain();

 private:
  struct Record {
    Headers headers;
    WallTime confirmed{};
    std::size_t followers = 0;
    std::string digest;               // empty: no body was seen
    std::optional<std::string> body;  // waits for a save
    bool in_file = false;             // the body last seen is in the file
    bool saving = false;              // its body is with the save under way
    bool waiting = false;             // loaded, and nobody has followed it so far
    bool secret = false;
    bool live = false;               // confirmed by a live answer
    std::optional<Document> loaded;  // to be handed out
  };
  struct Follower {
    std::string name;
    std::function<void()> again;
    bool served = false;  // has had the loaded document
  };

  bool Withheld(const Record& record) const { return record.secret && !keep_private_key_; }
  static bool Lost(const Record& record);
  static void Forget(Record* record);  // as if it had never been seen

  const bool keep_private_key_;
  Ticket last_ticket_ = 0;
  std::map<std::string, Record> records_;
  std::map<Ticket, Follower> followers_;
};

}  // namespace mooring::state
