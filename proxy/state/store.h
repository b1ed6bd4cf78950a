// Store: the agent's last good documents, kept on disk so that a restart can serve while the agent
// is away, and handed on to a successor. Who fetches a document follows it here, hands in each good
// answer, and may ask at the start for the saved one. What an answer means is not known here.
//
// Bodies are not kept in memory once they are on disk (see save.h and ledger.h for how that goes).
// Without a directory they stay there, but for those that hold a key, which are not kept at all.
// Failing to save never stops anything: it is said, and tried again. Loop thread only; another
// thread writes, one for all stores of a process.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "authz/result.h"
#include "proxy/log/log.h"
#include "proxy/net/loop.h"
#include "proxy/state/disk.h"
#include "proxy/state/folder.h"
#include "proxy/state/format.h"
#include "proxy/state/ledger.h"

namespace mooring::state {

// Timing of saves. The save of a change begins `gather` after it, or Distance after the save before
// it began.
struct Timing {
  net::milliseconds gather{50};       // from a change to the save: others come with it
  net::milliseconds spacing{900};     // between the starts of two saves, on a quick disk
  net::milliseconds confirm{60'000};  // from a mere confirmation, or an Unfollow, to the save
  net::milliseconds retry{10'000};    // from a failed save to the next, and between two AskAgain
  net::milliseconds answer{500};      // how long a save waits for what was asked again
  net::milliseconds grace{30'000};    // how long loaded documents wait to be asked for
  net::milliseconds close{2'000};     // how long Close blocks

  // Distance is what is between the starts of two saves when the first took that long: the slower
  // the disk, the sooner a save begins, so that a change is still on disk a second after it. Never
  // less than half the spacing.
  net::milliseconds Distance(net::milliseconds took) const {
    return std::max(spacing / 2, spacing - 2 * took);
  }
};

class Store final {
 public:
  struct Options {
    std::string directory;     // empty: memory alone
    std::string subdirectory;  // Folder::SubdirectoryName
    Key key;
    bool keep_private_key = true;     // false: secret documents are neither saved nor handed out
    std::string expected_datacenter;  // "": any
    Timing timing{};
    // Bytes of a whole file. What is larger is neither written nor read: it would cost each start
    // seconds, and as much memory.
    std::size_t limit = std::size_t{128} << 20;
    std::shared_ptr<DiskThread> disk{};  // null: one of its own
    // Another process still saves there, and will let go: what it has saved is read, and nothing is
    // locked or written before Begin.
    bool waits = false;
    // What a predecessor's Documents has given; empty: nothing.
    std::string handed{};
  };

  // Open checks the directory and loads what is there. Errors are about the directory alone
  // (folder.h has the wording); one that is full, read-only or locked is no error, but is logged
  // and tried again. A file that is of no use is logged and means a cold start.
  static Result<std::unique_ptr<Store>> Open(net::Loop& loop, log::Log& log, Options options);
  ~Store();  // Close, then waits for the disk
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Follow: the document of that name is to be kept from now on. Several may follow one. `secret`:
  // it holds a private key. `again` is called from the loop, never from inside a call, when the
  // body is neither in memory nor on disk: fetch the document anew, without waiting for a change,
  // and Keep it.
  using Ticket = Ledger::Ticket;
  Ticket Follow(const std::string& name, bool secret, std::function<void()> again);
  // Unfollow ends one Follow; a ticket unknown or ended is ignored. What nobody follows is left out
  // of the next save, but for the one of Close.
  void Unfollow(Ticket ticket);
  // Saved hands out the saved document, once to each follower (a secret one once). Nothing if there
  // is none, if a live answer has come since, or later than Timing::grace after Open.
  std::optional<Document> Saved(Ticket ticket) { return ledger_.HandOut(ticket); }
  // Keep takes a good live answer. The body of last time again only moves the headers and the time
  // of confirmation.
  void Keep(Ticket ticket, const Headers& headers, std::string_view body);

  // SetDatacenter: the agent has said where we are. If the loaded documents are of another
  // datacenter, those without a live answer so far are dropped.
  void SetDatacenter(const std::string& datacenter);
  // datacenter is the one of the key, set, or taken from the loaded file; "" if not known.
  const std::string& datacenter() const { return options_.key.datacenter; }

  // Documents is what a successor finds in no file, as the bytes of one (format.h), without a key;
  // empty if there is nothing. An Error if it is larger than a store takes.
  Result<std::string> Documents() const;

  // Begin has a store that waits save from now on.
  void Begin();
  // Leave is Close for a process that goes on while another takes over the directory. False: the
  // disk does not answer, and the directory stays locked until it does.
  bool Leave();

  // Close is for the end, before the watches go: it blocks until what is unsaved is on disk or has
  // failed, at most Timing::close. Nothing is written after it. False: the disk has not answered in
  // that time, and the destructor will wait until it does.
  bool Close();

  struct View {
    std::string file;                            // empty: none is kept
    std::optional<net::MonotonicTime> saved_at;  // by this process
    std::string error;                           // why the last save failed; empty after a good one
    std::size_t documents = 0;                   // in the file
    bool private_key = false;                    // in the file
  };
  View view() const;

 private:
  Store(net::Loop& loop, log::Log& log, Options options, std::optional<Folder> folder);

  // Check takes apart what was saved, or handed over, for us; an Error says why it is not used.
  Result<File> Check(std::string_view content);
  std::string Load(std::string_view content);
  void TakeOver();
  bool Busy() const { return disk_ && disk_->busy(); }
  void Unsaved(net::milliseconds from_now);
  void Want(net::MonotonicTime when);
  void Schedule();
  void OnTimer();
  void OnGrace();
  void StartSave(Ledger::Prune prune);
  void Finish();
  void Succeeded(const Outcome& outcome);
  void Failed(const std::string& error);
  void Refused(const std::string& reason);

  log::Log& log_;
  Options options_;
  const std::string file_;
  std::string loaded_datacenter_;
  Ledger ledger_;
  View view_;
  std::set<std::string> said_;  // errors logged since the last good save
  bool failing_ = false;
  bool dirty_ = false;                     // something is to be saved
  bool purge_ = false;                     // the file holds what it must not
  bool closed_ = false;                    // Close has been
  std::optional<net::MonotonicTime> due_;  // when the timer's work wants to be done
  std::optional<net::MonotonicTime> last_start_;
  net::milliseconds last_took_{0};  // from that start to its outcome
  net::MonotonicTime ask_at_{};     // not to be asked again before
  net::Timer timer_;
  net::Timer grace_;
  std::shared_ptr<Store*> self_;  // tells what the disk's thread has posted whether we still are
  std::optional<Disk> disk_;      // none: memory alone
};

}  // namespace mooring::state
