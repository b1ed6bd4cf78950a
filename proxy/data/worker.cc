#include "proxy/data/worker.h"

#include <malloc.h>

#include <cstring>
#include <utility>

#include "proxy/data/inbound.h"
#include "proxy/data/outbound.h"
#include "proxy/data/round_robin.h"
#include "proxy/net/scratch.h"
#include "proxy/net/thread.h"
#include "tls/session.h"

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

constexpr net::milliseconds kOpenAgain{100};  // a listener that there was no memory for

}  // namespace

Worker::Worker(log::Log& log, std::shared_ptr<Admission> admission)
    : log_(log),
      admission_(admission ? std::move(admission) : std::make_shared<Admission>(Limits::None(), 1)),
      open_again_(loop_, [this] { OpenListeners(); }),
      reap_(loop_, [this] { Reap(); }),
      sweep_(loop_, [this] { Sweep(); }) {
  loop_.SetKeeper(this);
}

Worker::~Worker() {
  if (thread_.joinable()) {
    loop_.PostStop();
    thread_.join();
  }
  admission_->Forget(this);
  acceptors_.clear();
  connections_.clear();
}

void Worker::Start() {
  sweep_.Start(net::kLivenessCheck);
  thread_ = net::StartThread("a worker", [this] {
    tls::PrepareThread();
    loop_.Run();
    acceptors_.clear();
    for (auto& connection : connections_) connection->Cut(CloseReason::kDrainTimeout);
  });
}

void Worker::PostSnapshot(std::shared_ptr<const Snapshot> snapshot) {
  loop_.Post([this, snapshot = std::move(snapshot)]() mutable {
    std::shared_ptr<const Snapshot> before = std::exchange(snapshot_, std::move(snapshot));
    FollowUpstreams();
    review_.Begin(std::move(before), snapshot_);
  });
}

void Worker::FollowUpstreams() noexcept {
  for (auto upstream = upstreams_.begin(); upstream != upstreams_.end();) {
    const auto rules = snapshot_->upstreams.find(upstream->first);
    if (rules == snapshot_->upstreams.end()) {
      upstream = upstreams_.erase(upstream);
    } else {
      upstream->second->Use(rules->second);
      ++upstream;
    }
  }
}

std::shared_ptr<Upstream> Worker::UpstreamOf(const std::string& listener) {
  if (const auto known = upstreams_.find(listener); known != upstreams_.end()) return known->second;
  if (!snapshot_) return nullptr;
  const auto rules = snapshot_->upstreams.find(listener);
  if (rules == snapshot_->upstreams.end()) return nullptr;
  auto upstream = std::make_shared<Upstream>(std::make_unique<RoundRobin>(random_()), rules->second);
  upstreams_.emplace(listener, upstream);
  return upstream;
}

std::unique_ptr<net::Task> Worker::MakeListenerTask(std::string name, ListenerKind kind, net::UniqueFd listening) {
  // All that the worker could lack memory for in taking it over is made here; and std::function wants a copyable task.
  auto opening = std::make_shared<std::list<Opening>>();
  opening->push_back({std::move(name), kind, std::move(listening)});
  return std::make_unique<net::Task>([this, opening] {
    opening_.splice(opening_.end(), *opening);
    OpenListeners();
  });
}

void Worker::OpenListeners() {
  open_again_.Start(kOpenAgain);
  while (!opening_.empty()) {
    Open(opening_.front());
    opening_.pop_front();
  }
  open_again_.Stop();
}

void Worker::Open(Opening& opening) {
  net::Acceptor::Callbacks callbacks;
  callbacks.on_accept = [this, name = opening.name, kind = opening.kind](net::UniqueFd accepted,
                                                                         const net::SocketAddress& peer) {
    Admit(name, kind, std::move(accepted), peer);
  };
  callbacks.on_pause = [this, name = opening.name](int error) { OnAcceptPause(name, error); };
  callbacks.has_room = [this, kind = opening.kind] { return HasRoom(kind); };
  Listening& entry = acceptors_[opening.name];
  auto acceptor = std::make_unique<net::Acceptor>(loop_, std::move(opening.listening), std::move(callbacks));
  // This one, and the socket that it is a duplicate of.
  if (!entry.acceptor) admission_->AddListeners(opening.kind, kDescriptorsEach);
  entry = {opening.kind, std::move(acceptor)};
}

void Worker::PostCloseListener(std::string name, std::function<void()> done) {
  loop_.Post([this, name = std::move(name), done = std::move(done)] {
    opening_.remove_if([&](const Opening& opening) { return opening.name == name; });
    if (const auto found = acceptors_.find(name); found != acceptors_.end()) {
      if (found->second.acceptor) {
        found->second.acceptor->AcceptWaiting();
        admission_->AddListeners(found->second.kind, -kDescriptorsEach);
      }
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
  sweep_.Start(rounds_.Pause(net::kLivenessCheck));
  // A connection may retire inside the call; it stays on the list until after this event.
  const bool first = rounds_.Next([this](std::unique_ptr<Connection>& connection) {
    loop_.Attend(connection.get(), [&] { connection->OnSweep(); });
  });
  if (first) {
    loop_.scratch().Trim();
    TrimHeap();
  }
}

// The allocator keeps what ended connections had, for the next; when no next come, it is given back.
void Worker::TrimHeap() {
  if (std::exchange(ended_since_sweep_, false)) {
    trim_due_ = true;
  } else if (std::exchange(trim_due_, false)) {
#if !defined(__SANITIZE_ADDRESS__)
    // A sanitizer's allocator leaves the C library's without its first call, which two workers would then make at once.
    malloc_trim(0);
#endif
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
                      {"cure", net::CureOf(error)}});
}

void Worker::ResumeAcceptors() {
  for (auto& [name, listening] : acceptors_) {
    if (listening.acceptor) listening.acceptor->Resume();
  }
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

void Worker::Proven(Connection* connection) noexcept {
  if (!connection->unproven_) return;
  unproven_.erase(*connection->unproven_);
  connection->unproven_.reset();
  admission_->AddHandshakes(-1, -std::exchange(connection->handshake_bytes_, 0));
}

void Worker::Admit(const std::string& name, ListenerKind kind, net::UniqueFd fd,
                   const net::SocketAddress& peer) {
  const bool inbound = kind == ListenerKind::kPublic;
  DirectionStats& stats = counters(kind);
  if (const Room room = admission_->Ask(kind); room == Room::kNoMemory) {
    stats.total.Add();
    stats.closed[CloseReason::kOutOfResources].Add();
    net::SetResetOnClose(fd.get());
    StrangerLog(CloseReason::kOutOfResources, log::Level::kWarn, "connection refused", name,
                {{"reason", CloseReasonName(CloseReason::kOutOfResources)},
                 {"listener", name},
                 {"shortage", Shortage(room)},
                 {"buffered", std::to_string(admission_->buffers().kept())},
                 {"peer", peer.Text()}});
    return;
  }
  Connection* connection = nullptr;
  loop_.Attend(nullptr, [&] {
    stats.total.Add();
    bool listed = false;
    std::optional<std::list<Connection*>::iterator> unproven;
    try {
      connections_.emplace_front();
      listed = true;
      if (inbound) {
        connections_.front() = std::make_unique<Inbound>(*this, std::move(fd), peer);
        unproven = unproven_.insert(unproven_.end(), connections_.front().get());
      } else {
        connections_.front() = std::make_unique<Outbound>(*this, name, std::move(fd), peer);
      }
    } catch (...) {
      if (fd) net::SetResetOnClose(fd.get());  // never begun is no clean end
      if (listed) connections_.pop_front();
      const CloseReason reason = inbound ? Escaped("inbound ended") : Escaped("outbound ended");
      stats.closed[reason].Add();
      return;
    }
    connection = connections_.front().get();
    connection->position_ = connections_.begin();
    review_.Joined(*connection);
    stats.active.Add();
    admission_->Enter(kind);
    if (unproven) {
      connection->unproven_ = unproven;
      connection->accepted_at_ = loop_.now();
      connection->handshake_bytes_ = kHandshakeCost;
      admission_->AddHandshakes(1, kHandshakeCost);
    }
  });
  if (connection != nullptr) loop_.Attend(connection, [connection] { connection->Begin(); });
}

void Worker::Retire(Connection* connection) noexcept {
  if (!connection->NoteRetired()) return;
  Proven(connection);  // or not: it is no handshake under way any more
  ended_since_sweep_ = true;
  drain_.Retired(*connection);
  DirectionStats& stats = counters(connection->kind());
  stats.active.Add(-1);
  connection->record_.Feed(stats);
  stats.closed[*connection->record_.reason].Add();
  // Its own code is on the stack, and a walk over connections_ may be under way: it is taken off the list later.
  connection->next_retired_ = std::exchange(retired_, connection);
  reap_.Arm();
}

void Worker::Reap() {
  while (retired_ != nullptr) {
    Connection* const connection = std::exchange(retired_, retired_->next_retired_);
    const ListenerKind kind = connection->kind();
    rounds_.Leaving(connection->position_);
    review_.Leaving(connection->position_);
    connections_.erase(connection->position_);
    admission_->Leave(kind);
  }
  admission_->WakeWaiting();
}

void Worker::OnEscaped() noexcept { (void)Escaped("a worker could not do all that it had to"); }

void Worker::StrangerLog(CloseReason reason, log::Level level, log::Literal message, std::string_view who,
                         log::Fields fields) {
  log_.WriteRationed(level, "data", message, {CloseReasonName(reason), who}, fields);
}

}  // namespace mooring::data
