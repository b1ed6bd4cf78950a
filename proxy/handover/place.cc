#include "proxy/handover/place.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

namespace mooring::handover {
namespace {

constexpr mode_t kFolderMode = 0700;
constexpr mode_t kSocketMode = 0600;
constexpr mode_t kModeBits = 0777;
constexpr int kBacklog = 16;

Error Wrong(const std::string& directory, const std::string& what) {
  return Invalid("hand-over directory " + directory + ": " + what);
}

std::optional<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return std::nullopt;
  std::copy(path.begin(), path.end(), address.sun_path);
  return address;
}

Error TooLong(const std::string& path) {
  return Invalid(path + ": the path of a socket has " +
                 std::to_string(sizeof(sockaddr_un::sun_path) - 1) +
                 " bytes at most; choose a shorter directory (handover_dir)");
}

Error Failed(const std::string& what, int error) {
  return {ErrorCode::kUnavailable, what + ": " + std::strerror(error)};
}

const sockaddr* Raw(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

}  // namespace

Result<Place> Place::Open(const std::string& directory) {
  if (mkdir(directory.c_str(), kFolderMode) != 0 && errno != EEXIST)
    return Wrong(directory, std::string("cannot be made: ") + std::strerror(errno));
  struct stat info {};
  if (lstat(directory.c_str(), &info) != 0) return Wrong(directory, std::strerror(errno));
  if (!S_ISDIR(info.st_mode)) return Wrong(directory, "it is not a directory");
  if (info.st_uid != geteuid()) {
    return Wrong(directory, "it belongs to user " + std::to_string(info.st_uid) +
                                ", it must belong to user " + std::to_string(geteuid()) +
                                ", which this process runs as");
  }
  if ((info.st_mode & kModeBits) != kFolderMode)
    return Wrong(directory, "its mode must be 0700 (chmod 0700 " + directory + ")");
  std::string path = directory;
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  Place place(std::move(path));
  if (!AddressOf(place.PathOf(kSocket) + ".new")) return TooLong(place.PathOf(kSocket));
  return place;
}

Result<net::UniqueFd> Place::Listen(const std::string& name) const {
  const std::string path = PathOf(name);
  const std::string made = path + ".new";
  const auto address = AddressOf(made);
  if (!address) return TooLong(path);
  net::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Failed("cannot listen on " + path, errno);
  (void)unlink(made.c_str());  // of one that ended right here
  if (bind(fd.get(), Raw(*address), sizeof *address) != 0 ||
      chmod(made.c_str(), kSocketMode) != 0 || listen(fd.get(), kBacklog) != 0 ||
      std::rename(made.c_str(), path.c_str()) != 0) {
    const int error = errno;
    (void)unlink(made.c_str());
    return Failed("cannot listen on " + path, error);
  }
  return fd;
}

Result<net::UniqueFd> Place::Connect(const std::string& name) const {
  const std::string path = PathOf(name);
  const auto address = AddressOf(path);
  if (!address) return TooLong(path);
  net::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Failed(path, errno);
  if (connect(fd.get(), Raw(*address), sizeof *address) != 0) {
    const int error = errno;
    if (error == ENOENT || error == ECONNREFUSED)
      return Error{ErrorCode::kNotFound, "nobody listens on " + path};
    return Failed(path, error);
  }
  if (!IsOurs(fd.get()))
    return Error{ErrorCode::kDenied, path + ": who listens there runs as another user"};
  return fd;
}

Result<net::UniqueFd> Place::Lock() const {
  net::UniqueFd fd(open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return Failed(directory_, errno);
  if (flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno == EWOULDBLOCK)
    return Error{ErrorCode::kUnavailable, directory_ + ": another process has it"};
  return Failed(directory_, errno);
}

void Place::Remove(const std::string& name) const {
  // A connection says who listens there: a socket and its name in the file system have no number in
  // common.
  pid_t who = 0;
  const auto there = Connect(name);
  if (there && IsOurs(there->get(), &who) && who == getpid()) (void)unlink(PathOf(name).c_str());
}

bool IsOurs(int fd, pid_t* pid) {
  const auto peer = net::PeerOf(fd);
  if (!peer || peer->uid != geteuid()) return false;
  if (pid != nullptr) *pid = peer->pid;
  return true;
}

}  // namespace mooring::handover
