#include "proxy/handover/documents.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace mooring::handover {
namespace {

constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

Error System(const char* what) {
  return Error{ErrorCode::kUnavailable, std::string(what) + ": " + std::strerror(errno)};
}

}  // namespace

Result<net::UniqueFd> WriteDocuments(std::string_view content) {
  net::UniqueFd fd(memfd_create("mooring-documents", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return System("memfd_create");
  for (std::size_t done = 0; done < content.size();) {
    const ssize_t wrote = write(fd.get(), content.data() + done, content.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return System("write");
    done += static_cast<std::size_t>(wrote);
  }
  if (fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) return System("F_ADD_SEALS");
  return fd;
}

Result<std::string> ReadDocuments(int fd, std::size_t limit) {
  // A file that somebody could still cut short, or a pipe that never ends, is not read.
  if (fcntl(fd, F_GET_SEALS) != kSeals) return Invalid("it is no sealed memory");
  struct stat file {};
  if (fstat(fd, &file) != 0) return System("fstat");
  if (static_cast<std::size_t>(file.st_size) > limit) return Invalid("it is too large");
  std::string content(static_cast<std::size_t>(file.st_size), '\0');
  for (std::size_t done = 0; done < content.size();) {
    const ssize_t got =
        pread(fd, content.data() + done, content.size() - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return System("pread");
    if (got == 0) return Invalid("it ends too early");
    done += static_cast<std::size_t>(got);
  }
  return content;
}

}  // namespace mooring::handover
