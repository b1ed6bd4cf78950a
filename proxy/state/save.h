// Save: one save, start to end: the changed bodies from memory, the others from the old file, into
// a new file that takes its place. Blocking; runs on the disk thread, and knows no loop, log or
// clock.
//
// Taking unchanged bodies from the old file is what allows the rest of the program to forget them:
// no second copy of a key or of a large answer stays in memory. A body is taken over only if its
// digest is that of the body last seen, or, where nothing better can be had, as the older whole
// document it is.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "authz/result.h"
#include "proxy/state/folder.h"
#include "proxy/state/format.h"

namespace mooring::state {

inline constexpr char kStateFile[] = "state";

// Item is a document that the new file should hold.
struct Item {
  std::string name;
  Headers headers;
  WallTime confirmed;
  std::string digest;               // SHA-256 of the body last seen
  std::optional<std::string> body;  // nullopt: it is in the old file
  bool secret = false;
};

struct Job {
  Key key;
  std::vector<Item> items;
  std::size_t limit = 0;  // bytes of a whole file
};

struct Outcome {
  Status status = Ok();
  struct Done {
    Item item;             // after a failure with its body, for the next try, unless that is secret
    bool written = false;  // the body last seen is in the file now
    bool older = false;    // an older one is
  };
  std::vector<Done> items;
  std::string old_file;  // why bodies could not be taken from the old file; empty if they could
};

// Save does one job on *folder, which is opened when it is nullopt and kept open for the next.
Outcome Save(const std::string& directory, const std::string& subdirectory,
             std::optional<Folder>* folder, Job& job);

// HeldElsewhere is the error text for a lock that another process holds.
std::string HeldElsewhere(const Folder& folder);

}  // namespace mooring::state
