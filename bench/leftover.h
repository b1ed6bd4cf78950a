// Leftover: bytes that a socket did not take at once.
#pragma once

#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <span>

#include "tls/wire.h"

namespace mooring::bench {

class Leftover final {
 public:
  bool empty() const { return sent_ == bytes_.size(); }
  // Tail is where more bytes may be appended.
  tls::WireBytes& Tail() { return bytes_; }

  // Send passes `fresh` on, behind what is left over. False: the socket has failed.
  bool Send(int fd, std::span<const std::uint8_t> fresh) {
    if (!empty()) {
      tls::Append(bytes_, fresh);
      return Flush(fd);
    }
    const ssize_t count = send(fd, fresh.data(), fresh.size(), MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN && errno != EINTR) return false;
    const std::span<const std::uint8_t> rest =
        fresh.subspan(count < 0 ? 0 : static_cast<std::size_t>(count));
    tls::Append(bytes_, rest);
    return true;
  }

  // Flush sends what can be sent now. False: the socket has failed.
  bool Flush(int fd) {
    while (!empty()) {
      const ssize_t count = send(fd, bytes_.data() + sent_, bytes_.size() - sent_, MSG_NOSIGNAL);
      if (count < 0) return errno == EAGAIN || errno == EINTR;
      sent_ += static_cast<std::size_t>(count);
    }
    bytes_.clear();
    sent_ = 0;
    return true;
  }

  // Free gives the memory back: a held connection should cost this program little.
  void Free() {
    if (empty()) *this = Leftover();
  }

 private:
  tls::WireBytes bytes_;
  std::size_t sent_ = 0;
};

}  // namespace mooring::bench
