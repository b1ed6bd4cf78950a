// FileWatch: when a file that somebody edits has become another one, and is whole.
//
// An editor or a tool that renames a new file over the old one shows it whole at once; one that
// writes in place shows parts of it, and any part may look like a file of its own. So a change
// counts once nothing has happened to the file for kSettled, and nobody is known to have it open
// for writing. A file that is away is being replaced. The caller looks, about once a second, and
// says what it sees. Pure.
#pragma once

#include <optional>

#include "proxy/config/file.h"
#include "proxy/net/clock.h"

namespace mooring::config {

class FileWatch final {
 public:
  static constexpr net::milliseconds kSettled{2'000};

  // Note is the file that has been read, as it was before that.
  void Note(const FileLook& read) {
    read_ = read;
    changed_.reset();
  }
  // Look is true once for each change, when it has settled: the file is to be read now.
  bool Look(const FileLook& now, bool being_written, net::MonotonicTime at);

 private:
  struct Change {
    FileLook look;
    net::MonotonicTime since;
  };
  FileLook read_;
  std::optional<Change> changed_;
};

}  // namespace mooring::config
