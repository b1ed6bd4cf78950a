#include <cerrno>
#include <system_error>
#include <utility>

#include "proxy/net/loop_parts.h"

namespace mooring::net {
namespace {

std::uint32_t ToEpoll(unsigned interest) {
  std::uint32_t events = 0;  // failures and hang-ups are always reported
  if ((interest & Poller::kRead) != 0) events |= EPOLLIN;
  if ((interest & Poller::kWrite) != 0) events |= EPOLLOUT;
  return events;
}

}  // namespace

Loop::Sockets::Sockets() : set(epoll_create1(EPOLL_CLOEXEC)) {
  if (!set) throw std::system_error(errno, std::generic_category(), "no epoll set");
}

Loop::Sockets::~Sockets() {
  ClearDead();
  while (kept != nullptr) delete std::exchange(kept, kept->next_dead);
  Check(alive == 0 ? 0 : UV_EBUSY, "event loop destroyed before its sockets");
}

int Loop::Sockets::Control(int operation, int fd, std::uint32_t events,
                           Poller::Handle* handle) const {
  epoll_event event{};
  event.events = events;
  event.data.ptr = handle;
  return epoll_ctl(set.get(), operation, fd, &event) == 0 ? 0 : errno;
}

void Loop::Sockets::Note(Poller::Handle* handle) {
  if (std::exchange(handle->changed, true)) return;
  handle->next_changed = std::exchange(changed, handle);
}

// The kernel needs nothing to forget a descriptor (epoll_ctl(2): only EPOLL_CTL_ADD meets limits
// and takes memory), so it refuses only one that it does not know. Should it plead a shortage all
// the same, it may go on naming the handle, which then stays.
void Loop::Sockets::Unwatch(Poller::Handle* handle) const {
  if (std::exchange(handle->watched, Poller::kNone) == Poller::kNone) return;
  const int error = Control(EPOLL_CTL_DEL, handle->fd, 0, nullptr);
  if (IsShortage(error)) {
    handle->named = true;
  } else {
    Check(-error, "poll: a descriptor was closed before its Poller");
  }
}

void Loop::Sockets::ApplyChanges() {
  while (changed != nullptr) {
    Poller::Handle* handle = std::exchange(changed, changed->next_changed);
    handle->changed = false;
    if (handle->detached || handle->interest == handle->watched) continue;
    if (handle->interest == Poller::kNone) {
      Unwatch(handle);
      continue;
    }
    const int operation = handle->watched == Poller::kNone ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    const std::uint32_t events =
        ToEpoll(handle->interest) | (handle->shared ? std::uint32_t{EPOLLEXCLUSIVE} : 0);
    int error = Control(operation, handle->fd, events, handle);
    if (error == EEXIST && handle->named)
      error = Control(EPOLL_CTL_MOD, handle->fd, events, handle);
    if (error == 0) {
      handle->watched = handle->interest;
      continue;
    }
    // Watches or memory are used up, for a change as for a new one: nothing will be heard of this
    // socket. Its owner is told once all changes are made; told in between, it could ask for the
    // same again, for ever.
    Check(IsShortage(error) ? 0 : -error, "poll");
    Unwatch(handle);
    handle->interest = Poller::kNone;
    if (std::exchange(handle->refused, error) == 0)
      handle->next_refused = std::exchange(refused, handle);
  }
}

void Loop::Sockets::ReportRefused(Loop& loop) {
  while (refused != nullptr) {
    Poller::Handle* handle = std::exchange(refused, refused->next_refused);
    Poller::Ready ready;
    ready.error = true;
    ready.refused = std::exchange(handle->refused, 0);
    if (!handle->detached) loop.Attend(handle->keeper, [&] { handle->on_ready(ready); });
  }
}

void Loop::Sockets::ClearDead() {
  for (; dead != nullptr; --alive) {
    Poller::Handle* handle = std::exchange(dead, dead->next_dead);
    if (handle->named) {
      handle->next_dead = std::exchange(kept, handle);
    } else {
      delete handle;
    }
  }
}

Poller::Poller(Loop& loop, int fd, std::function<void(Ready)> on_ready, Sharing sharing)
    : loop_(loop), handle_(new Handle) {
  handle_->fd = fd;
  handle_->shared = sharing == Sharing::kShared;
  handle_->keeper = loop.keeper_;
  handle_->on_ready = std::move(on_ready);
  ++loop_.sockets_->alive;
}

Poller::~Poller() {
  handle_->detached = true;
  loop_.sockets_->Unwatch(handle_);  // at once: the descriptor is closed next
  handle_->next_dead = std::exchange(loop_.sockets_->dead, handle_);
}

unsigned Poller::interest() const { return handle_->interest; }

void Poller::Set(unsigned interest) {
  handle_->interest = interest;
  if (interest != handle_->watched) loop_.sockets_->Note(handle_);
}

void Poller::Serve(Handle* handle, Loop& loop, std::uint32_t events) {
  if (!handle->detached && handle->keeper != nullptr && !handle->keeper->BeforeEvent()) return;
  if (handle->detached || handle->interest == kNone) return;
  Ready ready;
  const bool shut = (events & EPOLLHUP) != 0;
  if ((events & EPOLLERR) != 0) {
    ready.error = true;
    handle->interest = kNone;
    loop.sockets_->Unwatch(handle);
  } else {
    // The interest may have changed since the kernel made the event.
    ready.read = (handle->interest & kRead) != 0 && (shut || (events & EPOLLIN) != 0);
    ready.write = (handle->interest & kWrite) != 0 && (shut || (events & EPOLLOUT) != 0);
    ready.other = (handle->interest & kErrors) != 0 && shut;
    if (!ready.read && !ready.write && !ready.other) return;
  }
  // It may destroy the Poller; the Handle lives until the batch is served.
  loop.Attend(handle->keeper, [&] { handle->on_ready(ready); });
}

}  // namespace mooring::net
