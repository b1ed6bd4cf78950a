#include "proxy/state/folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "authz/text.h"
#include "tls/cleanse.h"
#include "tls/digest.h"

namespace mooring::state {
namespace {

constexpr mode_t kFolderMode = 0700;
constexpr mode_t kFileMode = 0600;
constexpr mode_t kModeBits = 0777;
constexpr std::size_t kMaxName = 200;  // bytes; file systems take 255
constexpr char kLock[] = "lock";

std::string Octal(mode_t mode) {
  char text[8];
  std::snprintf(text, sizeof text, "%04o", static_cast<unsigned>(mode));
  return text;
}

// CodeOf tells a disk that cannot take writes now from a mistake that a person must mend.
ErrorCode CodeOf(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EROFS:
    case EIO:
    case ENOMEM:
    case EMFILE:
    case ENFILE: return ErrorCode::kUnavailable;
    default: return ErrorCode::kInvalid;
  }
}

Error Failed(const std::string& what, int error) {
  return {CodeOf(error), what + ": " + std::strerror(error)};
}

Error OfDirectory(const std::string& path, const std::string& wrong) {
  return Invalid("state directory " + path + ": " + wrong);
}

std::string WrongOwner(uid_t owner, const std::string& path) {
  const std::string self = std::to_string(geteuid());
  return "it belongs to user " + std::to_string(owner) + ", it must belong to user " + self +
         ", which this process runs as (chown " + self + " " + path + ")";
}

std::string WrongMode(mode_t is, mode_t must, const std::string& path) {
  return "mode is " + Octal(is & kModeBits) + ", it must be " + Octal(must) + " (chmod " +
         Octal(must) + " " + path + ")";
}

// OpenDirectory opens `name` below `at`, creating it if it is missing, and judges what it has
// opened.
Result<net::UniqueFd> OpenDirectory(int at, const std::string& name, int flags,
                                    const std::string& path) {
  flags |= O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  net::UniqueFd fd(openat(at, name.c_str(), flags));
  if (!fd && errno == ENOENT) {
    if (mkdirat(at, name.c_str(), kFolderMode) != 0 && errno != EEXIST) {
      if (errno == ENOENT) {
        return OfDirectory(path,
                           "its parent directory does not exist (mkdir -p -m 0700 " + path + ")");
      }
      return Failed("state directory " + path + ": cannot create it", errno);
    }
    // Its name must outlast a power cut as the files in it do. Where that cannot be asked for, go
    // on.
    if (at != AT_FDCWD) (void)fsync(at);
    fd = net::UniqueFd(openat(at, name.c_str(), flags));
  }
  if (!fd) {
    const int error = errno;
    struct stat info {};
    if (fstatat(at, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) {
      if (S_ISLNK(info.st_mode)) {
        return OfDirectory(path,
                           (flags & O_NOFOLLOW) != 0
                               ? "it is a symbolic link, it must be a directory (rm " + path + ")"
                               : "it is a symbolic link that does not lead to a directory");
      }
      if (error == ENOTDIR)
        return OfDirectory(path, "it is not a directory (name another, or remove it)");
      // also as root, which is nobody in particular once its capabilities are gone
      if (error == EACCES && info.st_uid != geteuid())
        return OfDirectory(path, WrongOwner(info.st_uid, path));
    }
    return Failed("state directory " + path, error);
  }
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return Failed("state directory " + path, errno);
  if (!S_ISDIR(info.st_mode)) return OfDirectory(path, "it is not a directory");
  if (info.st_uid != geteuid()) return OfDirectory(path, WrongOwner(info.st_uid, path));
  if ((info.st_mode & kModeBits) != kFolderMode) {
    return OfDirectory(path, WrongMode(info.st_mode, kFolderMode, path));
  }
  return fd;
}

bool SameFile(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

Status WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Failed("write", errno);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return Ok();
}

std::string Temporary(const std::string& name) { return name + ".new"; }

std::string Escaped(std::string_view text) { return authz::PercentEncoded(text, "._-"); }

}  // namespace

std::string Folder::SubdirectoryName(std::string_view kind, std::string_view id) {
  std::string name = Escaped(kind);
  if (!kind.empty()) name += '.';
  name += Escaped(id);
  if (name.empty()) return "%";  // no other name is escaped to this
  if (name == "." || name == "..") return "%2E" + name.substr(1);
  if (name.size() > kMaxName) {
    // "~" is in no name that was not cut, so that a cut one cannot meet a whole one.
    const std::string tail = "~" + tls::Sha256Hex(name).substr(0, 32);
    name = name.substr(0, kMaxName - tail.size()) + tail;
  }
  return name;
}

Folder::Folder(std::string directory, std::string subdirectory)
    : directory_(std::move(directory)), subdirectory_(std::move(subdirectory)) {
  while (directory_.size() > 1 && directory_.ends_with('/')) directory_.pop_back();
}

Result<Folder> Folder::Open(std::string directory, std::string subdirectory) {
  Folder folder(std::move(directory), std::move(subdirectory));
  const Status opened = folder.Renew();
  if (!opened) return opened.error();
  return folder;
}

Status Folder::Renew() {
  const Result<net::UniqueFd> top = OpenDirectory(AT_FDCWD, directory_, 0, directory_);
  if (!top) return top.error();
  Result<net::UniqueFd> below = OpenDirectory(top->get(), subdirectory_, O_NOFOLLOW, PathOf(""));
  if (!below) return below.error();
  struct stat held {};
  struct stat found {};
  if (handle_ && fstat(handle_.get(), &held) == 0 && fstat(below->get(), &found) == 0 &&
      SameFile(held, found)) {
    return Ok();
  }
  lock_.Reset();
  handle_ = std::move(*below);
  return Ok();
}

Result<bool> Folder::Lock() {
  struct stat held {};
  struct stat found {};
  if (lock_) {
    // Someone may have removed the file: another process would then lock another file of that name.
    if (fstat(lock_.get(), &held) == 0 &&
        fstatat(handle_.get(), kLock, &found, AT_SYMLINK_NOFOLLOW) == 0 && SameFile(held, found)) {
      return true;
    }
    lock_.Reset();
  }
  // Read-only is enough for flock, and works for a file that is there on a read-only disk.
  net::UniqueFd fd(openat(handle_.get(), kLock,
                          O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, kFileMode));
  if (!fd) return Failed("cannot open " + PathOf(kLock), errno);
  int locked = 0;
  do {
    locked = flock(fd.get(), LOCK_EX | LOCK_NB);
  } while (locked != 0 && errno == EINTR);
  if (locked != 0) {
    if (errno == EWOULDBLOCK) return false;
    return Failed("cannot lock " + PathOf(kLock), errno);
  }
  lock_ = std::move(fd);
  return true;
}

Result<std::string> Folder::Read(const std::string& name, std::size_t limit) const {
  // Non-blocking, because a FIFO would hold us for ever; it is refused right after.
  const net::UniqueFd fd(
      openat(handle_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT) return Error{ErrorCode::kNotFound, "there is none"};
    if (errno == ELOOP) return Invalid("it is a symbolic link");
    if (errno == EIO) return Invalid(std::strerror(errno));  // as damaged as a file can be
    return Failed("open", errno);
  }
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return Failed("fstat", errno);
  if (!S_ISREG(info.st_mode)) return Invalid("it is not a regular file");
  if (info.st_uid != geteuid()) return Invalid(WrongOwner(info.st_uid, PathOf(name)));
  if ((info.st_mode & kModeBits) != kFileMode) {
    return Invalid(WrongMode(info.st_mode, kFileMode, PathOf(name)));
  }
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size > limit) {
    return Invalid("it has " + std::to_string(size) + " bytes, more than the " +
                   std::to_string(limit) + " that are taken");
  }
  // In one piece: a string that grows would leave copies of a key behind.
  std::string content(size, '\0');
  std::size_t filled = 0;
  while (filled < size) {
    const ssize_t got = read(fd.get(), content.data() + filled, size - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      const std::string reason =
          got < 0 ? std::strerror(errno) : "it became shorter while it was read";
      tls::Cleanse(&content);
      return Invalid(reason);
    }
    filled += static_cast<std::size_t>(got);
  }
  return content;
}

Status Folder::Replace(const std::string& name, std::span<const std::string_view> parts) const {
  const std::string temporary = Temporary(name);
  RemoveLeftover(name);
  Status status = Ok();
  {
    const net::UniqueFd fd(openat(handle_.get(), temporary.c_str(),
                                  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kFileMode));
    if (!fd) return Failed("create " + PathOf(temporary), errno);
    // What the process's umask has taken away would make the file unreadable for the next start.
    if (fchmod(fd.get(), kFileMode) != 0) status = Failed("chmod", errno);
    for (const std::string_view part : parts) {
      if (!status) break;
      status = WriteAll(fd.get(), part);
    }
    if (status && fsync(fd.get()) != 0) status = Failed("fsync", errno);
  }
  if (status && renameat(handle_.get(), temporary.c_str(), handle_.get(), name.c_str()) != 0) {
    status = Failed("rename", errno);
  }
  if (status && fsync(handle_.get()) != 0) status = Failed("fsync of the directory", errno);
  if (!status) RemoveLeftover(name);
  return status;
}

void Folder::RemoveLeftover(const std::string& name) const {
  (void)unlinkat(handle_.get(), Temporary(name).c_str(), 0);
}

std::string Folder::PathOf(std::string_view name) const {
  std::string path = directory_ == "/" ? "" : directory_;
  path += "/" + subdirectory_;
  if (!name.empty()) path += "/" + std::string(name);
  return path;
}

}  // namespace mooring::state
