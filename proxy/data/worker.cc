#include "proxy/data/worker.h"

#include <malloc.h>

#include <cstring>
#include <utility>
#include <vector>

#include "proxy/data/inbound.h"
#include "proxy/data/outbound.h"

namespace mooring::data {
namespace {

// Unproven callers that are ended at once to make room, of so many that are looked at.
constexpr std::size_t kShedAtOnce = 16;
constexpr std::size_t kLookedAt = 256;
// The time that a caller has while others wait for its place. A client speaks first, as soon as it is connected, and answers
// us within a round trip or two.
constexpr net::milliseconds kSilentFor{100};
constexpr net::milliseconds kUnprovenFor{1'000};

const char* Shortage(Room room) {
  switch (room) {
    case Room::kYes: break;
    case Room::kNoDescriptors: return "open files: the share of this direction is used up";
    case Room::kNoMemory: return "memory: connections hold as much as they may (memory_limit)";
    case Room::kNoHandshakes: return "handshakes under way are as many as may be (max_handshakes, handshake_memory)";
  }
  return "";
}

}  // namespace

Worker::Worker(log::Log& log, std::shared_ptr<Admission> admission)
    : log_(log),
      admission_(admission ? std::move(admission) : std::make_shared<Admission>(Limits::None(), 1)),
      sweep_(loop_, [this] { Sweep(); }) {}

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
  admission_->Forget(this);
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
    callbacks.on_pause = [this, name](int error) { OnAcceptPause(name, error); };
    callbacks.has_room = [this, kind] { return HasRoom(kind); };
    Listening& entry = acceptors_[name];
    if (!entry.acceptor) admission_->AddListeners(kind, kDescriptorsEach);  // this one, and the socket that it is a duplicate of
    entry = {kind, std::make_unique<net::Acceptor>(loop_, std::move(*fd), std::move(callbacks))};
  });
}

void Worker::PostCloseListener(std::string name, std::function<void()> done) {
  loop_.Post([this, name = std::move(name), done = std::move(done)] {
    if (const auto found = acceptors_.find(name); found != acceptors_.end()) {
      found->second.acceptor->AcceptWaiting();
      admission_->AddListeners(found->second.kind, -kDescriptorsEach);
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

void Worker::OnAcceptPause(const std::string& name, int error) {
  stats_.accept_pauses.Add();
  admission_->NoteShortage();
  AwaitRoom();
  const char* reason = strerrorname_np(error);
  log_.WriteRationed(log::Level::kWarn, "data", "accept paused", {reason == nullptr ? "unknown" : reason, name},
                     {{"listener", name},
                      {"error", std::strerror(error)},
                      {"cure", "raise the limit on open files (LimitNOFILE=) or lower the load"}});
}

void Worker::ResumeAcceptors() {
  for (auto& [name, listening] : acceptors_) listening.acceptor->Resume();
}

void Worker::AwaitRoom() {
  admission_->Waiting(this, [this] { loop_.Post([this] { ResumeAcceptors(); }); });
}

bool Worker::HasRoom(ListenerKind kind) {
  const Room room = admission_->Ask(kind);
  if (room == Room::kYes) return true;
  // What is shed here comes free after this event, and then this listener goes on.
  const bool shed = kind == ListenerKind::kPublic && ShedOldest(room);
  // Admit refuses it: the client may try another instance, where a queue would only keep it waiting.
  if (!shed && room == Room::kNoMemory) return true;
  AwaitRoom();
  return false;
}

bool Worker::ShedOldest(Room why) {
  std::size_t ended = 0;
  std::size_t looked_at = 0;
  for (auto next = unproven_.begin(); next != unproven_.end() && ended < kShedAtOnce && looked_at < kLookedAt; ++looked_at) {
    Connection* oldest = *next++;  // Cut takes it off the list
    const auto age = loop_.now() - oldest->accepted_at_;
    if (age < kSilentFor) break;
    const bool silent = oldest->handshake_bytes_ == static_cast<std::int64_t>(kHandshakeCost);
    if ((!silent && age < kUnprovenFor) || oldest->OwesAnswer()) continue;  // it is our turn, not the caller's
    oldest->Cut(CloseReason::kOutOfResources);
    ++ended;
  }
  if (ended > 0) NoteShed(why, static_cast<std::int64_t>(ended));
  return ended > 0;
}

void Worker::ShedLargest() {
  Connection* largest = nullptr;
  std::size_t looked_at = 0;
  for (Connection* one : unproven_) {
    if (largest == nullptr || one->handshake_bytes_ > largest->handshake_bytes_) largest = one;
    if (++looked_at == kLookedAt) break;
  }
  if (largest == nullptr) return;
  largest->Cut(CloseReason::kOutOfResources);
  NoteShed(Room::kNoHandshakes, 1);
}

void Worker::NoteShed(Room why, std::int64_t ended) {
  stats_.handshakes_shed.Add(ended);
  StrangerLog(CloseReason::kOutOfResources, log::Level::kWarn, "unproven callers ended to make room", Shortage(why),
              {{"reason", CloseReasonName(CloseReason::kOutOfResources)},
               {"shortage", Shortage(why)},
               {"ended", std::to_string(ended)},
               {"handshakes", std::to_string(admission_->handshakes())}});
}

void Worker::HandshakeHolds(Connection* connection, std::size_t bytes) {
  if (!connection->unproven_) return;
  const auto now = static_cast<std::int64_t>(kHandshakeCost + bytes);
  admission_->AddHandshakes(0, now - std::exchange(connection->handshake_bytes_, now));
  if (admission_->handshake_bytes() > static_cast<std::int64_t>(admission_->limits().handshake_memory)) {
    ShedLargest();
  }
}

void Worker::Proven(Connection* connection) {
  if (!connection->unproven_) return;
  unproven_.erase(*connection->unproven_);
  connection->unproven_.reset();
  admission_->AddHandshakes(-1, -std::exchange(connection->handshake_bytes_, 0));
}

void Worker::Left(Connection* connection) {
  const ListenerKind kind = connection->kind_;
  rounds_.Leaving(connection->position_);
  connections_.erase(connection->position_);
  admission_->Leave(kind);
  admission_->WakeWaiting();
}

void Worker::Admit(const std::string& name, ListenerKind kind, net::UniqueFd fd,
                   const net::SocketAddress& peer) {
  if (const Room room = admission_->Ask(kind); room == Room::kNoMemory) {
    DirectionStats& stats = kind == ListenerKind::kPublic ? stats_.inbound : stats_.outbound;
    stats.total.Add();
    stats.closed[static_cast<std::size_t>(CloseReason::kOutOfResources)].Add();
    net::SetResetOnClose(fd.get());
    StrangerLog(CloseReason::kOutOfResources, log::Level::kWarn, "connection refused", name,
                {{"reason", CloseReasonName(CloseReason::kOutOfResources)},
                 {"listener", name},
                 {"shortage", Shortage(room)},
                 {"buffered", std::to_string(admission_->buffers().kept())},
                 {"peer", peer.Text()}});
    return;
  }
  const auto admit = [this, kind](auto connection, DirectionStats& stats) {
    stats.active.Add();
    stats.total.Add();
    auto* raw = connection.get();
    connections_.push_front(std::move(connection));
    raw->position_ = connections_.begin();
    admission_->Enter(kind);
    if (kind == ListenerKind::kPublic) {
      raw->unproven_ = unproven_.insert(unproven_.end(), raw);
      raw->accepted_at_ = loop_.now();
      raw->handshake_bytes_ = kHandshakeCost;
      admission_->AddHandshakes(1, kHandshakeCost);
    }
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
  Proven(connection);  // or not: it is no handshake under way any more
  ended_since_sweep_ = true;
  drain_.Retired(*connection);
  stats.active.Add(-1);
  stats.closed[static_cast<std::size_t>(reason)].Add();
  // Its own code is on the stack, and a walk over connections_ may be under way: take it off the list later.
  loop_.Defer([this, connection] { Left(connection); });
}

void Worker::StrangerLog(CloseReason reason, log::Level level, log::Literal message, std::string_view who,
                         log::Fields fields) {
  log_.WriteRationed(level, "data", message, {CloseReasonName(reason), who}, fields);
}

}  // namespace mooring::data
