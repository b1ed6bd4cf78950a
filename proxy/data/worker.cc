#include "proxy/data/worker.h"

#include <malloc.h>

#include <cstring>
#include <utility>
#include <vector>

#include "proxy/data/inbound.h"
#include "proxy/data/outbound.h"

namespace mooring::data {

Worker::Worker(log::Log& log) : log_(log), sweep_(loop_, [this] { Sweep(); }) {}

Worker::~Worker() {
  if (thread_.joinable()) {
    loop_.Post([this] {
      acceptors_.clear();
      for (auto& connection : connections_) connection->Cut(CloseReason::kDrainTimeout);
    });
    // A second task: the posts of Retire come before it, so nothing is alive when the loop ends.
    loop_.Post([this] { loop_.PostStop(); });
    thread_.join();
  }
  acceptors_.clear();
  connections_.clear();
}

void Worker::Start() {
  sweep_.Start(net::kLivenessCheck);
  thread_ = std::thread([this] { loop_.Run(); });
}

void Worker::PostSnapshot(std::shared_ptr<const Snapshot> snapshot) {
  loop_.Post([this, snapshot = std::move(snapshot)]() mutable {
    const std::shared_ptr<const Snapshot> before = std::exchange(snapshot_, std::move(snapshot));
    Review review(before.get(), *snapshot_);
    // A connection may retire inside the call; it stays on the list until after this event.
    for (auto& connection : connections_) connection->OnSnapshot(review);
  });
}

void Worker::PostListener(std::string name, ListenerKind kind, net::UniqueFd listening) {
  // std::function wants a copyable task, a descriptor is not one.
  auto fd = std::make_shared<net::UniqueFd>(std::move(listening));
  loop_.Post([this, name = std::move(name), kind, fd] {
    net::Acceptor::Callbacks callbacks;
    callbacks.on_accept = [this, name, kind](net::UniqueFd accepted, const net::SocketAddress& peer) {
      Admit(name, kind, std::move(accepted), peer);
    };
    callbacks.on_pause = [this, name](int error) {
      stats_.accept_pauses.Add();
      const char* reason = strerrorname_np(error);
      log_.WriteRationed(log::Level::kWarn, "data", "accept paused", {reason == nullptr ? "unknown" : reason, name},
                         {{"listener", name},
                          {"error", std::strerror(error)},
                          {"cure", "raise the limit on open files (LimitNOFILE=) or lower the load"}});
    };
    acceptors_[name] = std::make_unique<net::Acceptor>(loop_, std::move(*fd), std::move(callbacks));
  });
}

void Worker::PostCloseListener(std::string name, std::function<void()> done) {
  loop_.Post([this, name = std::move(name), done = std::move(done)] {
    if (const auto found = acceptors_.find(name); found != acceptors_.end()) {
      found->second->AcceptWaiting();
      acceptors_.erase(found);
    }
    if (done) done();
  });
}

void Worker::PostDrain(milliseconds quiet, std::function<void()> done) {
  loop_.Post([this, quiet, done = std::move(done)] {
    drain_.Begin(quiet);
    done();
  });
}

void Worker::PostAwaitAll(ListenerKind kind, std::function<void()> done) {
  loop_.Post([this, kind, done = std::move(done)] {
    drain_.AwaitAll(kind);
    done();
  });
}

void Worker::PostCutAwaited() {
  loop_.Post([this] { drain_.CutAwaited(); });
}

void Worker::PostCutAll() {
  loop_.Post([this] {
    for (auto& connection : connections_) connection->Cut(CloseReason::kDrainTimeout);
  });
}

void Worker::Sweep() {
  // A connection may retire inside the call; it stays on the list until after this event.
  const bool first = rounds_.Next([](std::unique_ptr<Connection>& connection) { connection->OnSweep(); });
  if (first) {
    loop_.TrimScratch();
    TrimHeap();
  }
  sweep_.Start(rounds_.Pause(net::kLivenessCheck));
}

// The allocator keeps what ended connections had, for the next; when no next come, it is given back.
void Worker::TrimHeap() {
  if (std::exchange(ended_since_sweep_, false)) {
    trim_due_ = true;
  } else if (std::exchange(trim_due_, false)) {
    malloc_trim(0);
  }
}

void Worker::Admit(const std::string& name, ListenerKind kind, net::UniqueFd fd,
                   const net::SocketAddress& peer) {
  const auto admit = [this](auto connection, DirectionStats& stats) {
    stats.active.Add();
    stats.total.Add();
    auto* raw = connection.get();
    connections_.push_front(std::move(connection));
    raw->position_ = connections_.begin();
    raw->Begin();
  };
  switch (kind) {
    case ListenerKind::kPublic:
      admit(std::make_unique<Inbound>(*this, std::move(fd), peer), stats_.inbound);
      return;
    case ListenerKind::kUpstream:
      admit(std::make_unique<Outbound>(*this, name, std::move(fd)), stats_.outbound);
      return;
  }
}

void Worker::Retire(Connection* connection, DirectionStats& stats, CloseReason reason) {
  if (std::exchange(connection->retired_, true)) return;
  ended_since_sweep_ = true;
  drain_.Retired(*connection);
  stats.active.Add(-1);
  stats.closed[static_cast<std::size_t>(reason)].Add();
  // Its own code is on the stack, and a walk over connections_ may be under way: take it off the list later.
  loop_.Defer([this, connection] {
    rounds_.Leaving(connection->position_);
    connections_.erase(connection->position_);
  });
}

void Worker::StrangerLog(CloseReason reason, log::Level level, log::Literal message, std::string_view who,
                         log::Fields fields) {
  log_.WriteRationed(level, "data", message, {CloseReasonName(reason), who}, fields);
}

}  // namespace mooring::data
