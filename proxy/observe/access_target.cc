#include "proxy/observe/access_target.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <optional>
#include <utility>

#include "proxy/net/socket.h"

namespace mooring::observe {
namespace {

using log::Output;

constexpr std::size_t kFileChunk = 64u * 1024;
constexpr mode_t kFileMode = 0640;

// Lines of processes that share a pipe are not torn: PIPE_BUF at once.
class Stdout final : public AccessTarget {
 public:
  Output::Result Write(std::string_view entries) override { return output_.Write(entries); }
  std::size_t MostAtOnce() const override { return PIPE_BUF; }
  Status Reopen() override {
    output_.MoveTo(STDOUT_FILENO);  // which may be our predecessor's now
    return Ok();
  }

 private:
  Output output_{STDOUT_FILENO};
};

class File final : public AccessTarget {
 public:
  explicit File(std::string path) : path_(std::move(path)) {}

  Output::Result Write(std::string_view entries) override { return output_->Write(entries); }
  std::size_t MostAtOnce() const override { return kFileChunk; }
  Status Reopen() override {
    // Of a named pipe that nobody reads the open fails, instead of waiting for a reader.
    const net::UniqueFd fd(open(path_.c_str(),
                                O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                                kFileMode));
    if (!fd) return Invalid(path_ + ": " + std::strerror(errno));
    output_.emplace(fd.get());
    return Ok();
  }

 private:
  const std::string path_;
  std::optional<Output> output_;
};

class Journal final : public AccessTarget {
 public:
  explicit Journal(std::string socket) : path_(std::move(socket)) {}

  Output::Result Write(std::string_view entry) override {
    // One that was started anew has a new socket in the old one's place.
    int error = 0;
    for (int attempt = 0; attempt < 2; ++attempt) {
      if (!socket_ && (error = Connect()) != 0) return {0, error};
      ssize_t sent = 0;
      do {
        sent = send(socket_.get(), entry.data(), entry.size(), MSG_NOSIGNAL);
      } while (sent < 0 && errno == EINTR);
      if (sent >= 0) return {entry.size(), 0};
      error = errno;
      if (error != ECONNREFUSED && error != ECONNRESET && error != ENOTCONN) break;
      socket_.Reset();
    }
    return {0, error};
  }
  std::size_t MostAtOnce() const override { return 0; }

 private:
  int Connect() {
    net::UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd) return errno;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof address.sun_path) return ENAMETOOLONG;
    path_.copy(address.sun_path, path_.size());
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      return errno;
    socket_ = std::move(fd);
    return 0;
  }

  const std::string path_;
  net::UniqueFd socket_;
};

}  // namespace

std::unique_ptr<AccessTarget> ToStdout() { return std::make_unique<Stdout>(); }

Result<std::unique_ptr<AccessTarget>> ToFile(std::string path) {
  auto file = std::make_unique<File>(std::move(path));
  if (Status opened = file->Reopen(); !opened) return opened.error();
  return std::unique_ptr<AccessTarget>(std::move(file));
}

std::unique_ptr<AccessTarget> ToJournal(std::string socket) {
  return std::make_unique<Journal>(std::move(socket));
}

}  // namespace mooring::observe
