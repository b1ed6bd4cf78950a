// Place: the directory in which a process offers its place to a successor, and the sockets there.
//
// Whoever can write there could take our listening sockets, so it is a directory of mode 0700 that
// belongs to the user we run as, and what is not is refused. The newest process has the sockets: it
// puts its own in the place of its predecessor's in one step (rename), so that somebody answers at
// any time. Any thread.
#pragma once

#include <sys/types.h>

#include <string>

#include "authz/result.h"
#include "proxy/net/socket.h"

namespace mooring::handover {

inline constexpr char kSocket[] = "handover.sock";  // channel.h is spoken there
inline constexpr char kFeed[] = "feed.sock";        // HTTP, as the agent speaks it
// The same, by one of the old generations while there is no newest process.
inline constexpr char kOldFeed[] = "old-feed.sock";

class Place final {
 public:
  // Open makes the directory, if its parent is there, and judges it. Errors name it and the cure.
  static Result<Place> Open(const std::string& directory);

  std::string PathOf(const std::string& name) const { return directory_ + "/" + name; }
  // Listen has a socket of mode 0600 at that name, whoever had one there before.
  Result<net::UniqueFd> Listen(const std::string& name) const;
  // Connect reaches whoever listens there. kNotFound: nobody does.
  Result<net::UniqueFd> Connect(const std::string& name) const;
  // Lock has one process at a time do what it does for all that are left here, for as long as it
  // keeps the descriptor, or lives. kUnavailable: another has it.
  Result<net::UniqueFd> Lock() const;
  // Remove takes the name away, if it still leads to this process.
  void Remove(const std::string& name) const;

 private:
  explicit Place(std::string directory) : directory_(std::move(directory)) {}
  std::string directory_;
};

// IsOurs: whoever is at the other end of a unix socket runs as our user (SO_PEERCRED). `pid`, if
// given, gets its process.
bool IsOurs(int fd, pid_t* pid = nullptr);

}  // namespace mooring::handover
