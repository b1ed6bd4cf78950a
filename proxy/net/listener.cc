#include "proxy/net/listener.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace mooring::net {
namespace {
// Connections taken in one event: enough to empty a burst, few enough not to starve live ones.
constexpr int kAcceptsPerEvent = 32;
// What a closing listener still takes: a flood of new callers must not hold up a drain for ever.
constexpr int kAcceptsAtEnd = 4096;
}  // namespace

Acceptor::Acceptor(Loop& loop, UniqueFd&& listening, Callbacks callbacks)
    : loop_(loop), callbacks_(std::move(callbacks)), resume_(loop, [this] { Resume(); }) {
  const auto on_ready = [this](Poller::Ready ready) {
    // An error event stops the polling; taking it up again after the pause keeps the listener
    // alive.
    if (ready.error) {
      Hold();
      if (ready.refused != 0) callbacks_.on_pause(ready.refused);
    } else if (!holds_) {
      OnReady();
    }
  };
  poller_.emplace(loop_, listening.get(), on_ready, Poller::Sharing::kShared);
  fd_ = std::move(listening);
  poller_->Set(Poller::kRead);
}

Acceptor::~Acceptor() { poller_.reset(); }

void Acceptor::OnReady() {
  for (int i = 0; i < kAcceptsPerEvent; ++i) {
    if (!AcceptOne()) return;
  }
}

void Acceptor::AcceptWaiting() {
  for (int i = 0; i < kAcceptsAtEnd && AcceptOne(); ++i) {
  }
}

void Acceptor::Hold() {
  holds_ = true;
  poller_->Set(Poller::kNone);
  resume_.Start(pause_);
  pause_ = std::min(pause_ * 2, kLongestPause);
}

void Acceptor::Rest() {
  holds_ = true;
  poller_->Set(Poller::kNone);
  resume_.Stop();
}

void Acceptor::Resume() {
  if (!holds_) return;
  holds_ = false;
  resume_.Stop();
  poller_->Set(Poller::kRead);
  OnReady();
}

bool Acceptor::AcceptOne() {
  if (callbacks_.has_room && !callbacks_.has_room()) {
    Hold();
    return false;
  }
  sockaddr_storage peer{};
  socklen_t length = sizeof peer;
  UniqueFd fd(accept4(fd_.get(), reinterpret_cast<sockaddr*>(&peer), &length,
                      SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (fd) {
    lost_in_a_row_ = 0;
    pause_ = kFirstPause;
    callbacks_.on_accept(std::move(fd),
                         SocketAddress::FromRaw(reinterpret_cast<sockaddr*>(&peer), length));
    return true;
  }
  const int error = errno;
  switch (error) {
    case EAGAIN:  // another worker was quicker
      return false;
    case EINVAL:  // it does not listen: epoll would go on reporting a hang-up
      Rest();
      return false;
    // The connection died in the queue, or the network failed before we took it (accept(2), "Error
    // handling"): that one is lost, the next may be fine.
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
      if (++lost_in_a_row_ < kAcceptsPerEvent) return true;
      [[fallthrough]];  // not single connections are lost but all of them: going on would spin
    default:  // EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, ...: the queue keeps the client; we wait
      lost_in_a_row_ = 0;
      Hold();
      callbacks_.on_pause(error);
      return false;
  }
}

}  // namespace mooring::net
