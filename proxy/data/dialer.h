// Dialer: waits for one TCP (or unix) connect, with a deadline. Loop thread only.
#pragma once

#include <functional>
#include <optional>

#include "proxy/net/loop.h"
#include "proxy/net/socket.h"

namespace mooring::data {

class Dialer final {
 public:
  // `start` comes from net::StartConnect and is either under way or has failed: a connect that is
  // done needs no Dialer. `on_done` gets the connected socket, or an errno (ETIMEDOUT after
  // `deadline`) and no socket. It runs once, never inside the constructor, and may destroy the
  // Dialer. What nobody waits for any more is reset: the peer may have taken the connection
  // already, and must not see a clean end of it.
  Dialer(net::Loop& loop, net::ConnectStart start, net::milliseconds deadline,
         std::function<void(net::UniqueFd fd, int error)> on_done);
  ~Dialer();
  Dialer(const Dialer&) = delete;
  Dialer& operator=(const Dialer&) = delete;

 private:
  void Report(int error);

  std::function<void(net::UniqueFd, int)> on_done_;
  net::UniqueFd fd_;
  std::optional<net::Poller> poller_;
  net::Timer timer_;
  int early_error_ = 0;
};

}  // namespace mooring::data
