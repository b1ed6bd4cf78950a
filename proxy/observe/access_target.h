// AccessTarget: where the access log is written to: standard output, a file, or systemd's journal.
//
// One thread. Write may block for as long as whoever is behind it does. SIGPIPE, SIGTTOU and
// SIGXFSZ are that thread's to block.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "authz/result.h"
#include "proxy/log/output.h"

namespace mooring::observe {

class AccessTarget {
 public:
  virtual ~AccessTarget() = default;
  AccessTarget(const AccessTarget&) = delete;
  AccessTarget& operator=(const AccessTarget&) = delete;

  // Write takes whole entries. At a time as many as fit into MostAtOnce, or else one.
  virtual log::Output::Result Write(std::string_view entries) = 0;
  virtual std::size_t MostAtOnce() const = 0;
  // Reopen begins a file that was moved away anew. If it cannot, the one before is kept.
  virtual Status Reopen() { return Ok(); }

 protected:
  AccessTarget() = default;
};

std::unique_ptr<AccessTarget> ToStdout();
// ToFile appends to a file, and makes it (0640) where it is not there.
Result<std::unique_ptr<AccessTarget>> ToFile(std::string path);
// ToJournal sends each entry as a datagram; a journal that is not there costs the entry, and is
// looked for again at the next.
std::unique_ptr<AccessTarget> ToJournal(std::string socket);
inline constexpr char kJournalSocket[] = "/run/systemd/journal/socket";

}  // namespace mooring::observe
