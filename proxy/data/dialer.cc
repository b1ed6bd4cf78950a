#include "proxy/data/dialer.h"

#include <cerrno>
#include <utility>

namespace mooring::data {

Dialer::Dialer(net::Loop& loop, net::ConnectStart start, net::milliseconds deadline,
               std::function<void(net::UniqueFd, int)> on_done)
    : on_done_(std::move(on_done)),
      timer_(loop, [this] { Report(early_error_ != 0 ? early_error_ : ETIMEDOUT); }) {
  if (start.error != 0) {
    early_error_ = start.error;
    timer_.Start(net::milliseconds(0));
    return;
  }
  fd_ = std::move(start.fd);
  poller_.emplace(loop, fd_.get(), [this](net::Poller::Ready ready) {
    Report(ready.refused != 0 ? ready.refused : net::PendingError(fd_.get()));
  });
  poller_->Set(net::Poller::kWrite);
  timer_.Start(deadline);
}

Dialer::~Dialer() {
  poller_.reset();
  if (fd_) net::SetResetOnClose(fd_.get());
}

void Dialer::Report(int error) {
  poller_.reset();
  timer_.Stop();
  net::UniqueFd fd = std::move(fd_);
  if (error != 0 && fd) {
    net::SetResetOnClose(fd.get());
    fd.Reset();
  }
  // The owner may destroy this object, and with it the function that is running.
  const auto on_done = std::move(on_done_);
  on_done(std::move(fd), error);
}

}  // namespace mooring::data
