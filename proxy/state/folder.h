// Folder: one directory that only this user can enter, and the files in it. It knows names, modes
// and bytes, nothing of what the bytes mean.
//
// The state directory itself may be reached through a link; it is judged by fstat on the opened
// handle. Everything below it is opened relative to a handle and never through a link, so that
// whoever can write to a place above cannot turn a save, or a load, to a file of their choice. One
// thread at a time.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "authz/result.h"
#include "proxy/net/socket.h"

namespace mooring::state {

class Folder final {
 public:
  // SubdirectoryName is "<kind>.<id>" as one path component: bytes outside [A-Za-z0-9._-] as %XX,
  // at most 200 bytes (a longer one is cut and ends in "~" and a part of its SHA-256).
  static std::string SubdirectoryName(std::string_view kind, std::string_view id);

  // Open opens `directory`, creating it (0700) if only its last component is missing, and in it
  // `subdirectory`, likewise. Errors name the path, what is wrong and the cure: kUnavailable when
  // the disk is full, read-only or failing, kInvalid when owner, mode or kind are not as they must
  // be.
  static Result<Folder> Open(std::string directory, std::string subdirectory);

  // Renew looks at the paths again, judges them as Open does, and goes over to what is there now if
  // that is another directory; the lock of the old one is given up. For someone who has removed the
  // directory.
  Status Renew();

  // Lock takes the file `lock`, to hold until this object goes; true if it is held already. False
  // if another process holds it; an Error if it cannot be tried.
  Result<bool> Lock();

  // Read gives the whole of a regular file of ours with mode 0600 and at most `limit` bytes.
  // kNotFound if there is none, kUnavailable for want of memory or descriptors; any other error is
  // about the file.
  Result<std::string> Read(const std::string& name, std::size_t limit) const;

  // Replace makes `parts`, joined, the content of a file, wholly or not at all, and returns when
  // that is on the disk. After an Error the old content stands, or the new one: never a part of
  // either.
  Status Replace(const std::string& name, std::span<const std::string_view> parts) const;

  // RemoveLeftover deletes what a Replace that was killed has left. Only with the lock held.
  void RemoveLeftover(const std::string& name) const;

  std::string PathOf(std::string_view name) const;

 private:
  Folder(std::string directory, std::string subdirectory);

  std::string directory_;
  std::string subdirectory_;
  net::UniqueFd handle_;  // of the subdirectory
  net::UniqueFd lock_;
};

}  // namespace mooring::state
