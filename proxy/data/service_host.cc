#include "proxy/data/service_host.h"

#include <chrono>
#include <cstring>
#include <new>
#include <utility>

#include "proxy/data/balancing.h"
#include "proxy/data/inbound.h"
#include "proxy/data/outbound.h"

namespace mooring::data {
namespace {

const char* Shortage(Room room) {
  switch (room) {
    case Room::kYes: break;
    case Room::kNoDescriptors: return "open files: the share of this direction is used up";
    case Room::kNoMemory: return "memory: connections hold as much as they may (memory_limit)";
    case Room::kNoHandshakes:
      return "handshakes under way are as many as may be (max_handshakes, handshake_memory)";
  }
  return "";
}

net::milliseconds::rep Milliseconds(net::MonotonicTime::duration time) {
  return std::chrono::duration_cast<net::milliseconds>(time).count();
}

constexpr net::milliseconds kOpenAgain{100};  // a listener that there was no memory for

// NameOf is the errno's name. It lives as long as the program, as the topic of a rationed line has
// to; the C library has names from 2.32 on.
const char* NameOf([[maybe_unused]] int error) {
#if __GLIBC_PREREQ(2, 32)
  if (const char* name = strerrorname_np(error)) return name;
#endif
  return "unknown";
}

}  // namespace

ServiceHost::ServiceHost(const Shared& shared, log::Log& log, Accounts accounts)
    : loop_(shared.loop),
      log_(log),
      admission_(shared.admission),
      unproven_(shared.unproven),
      heap_(shared.heap),
      traffic_(accounts.traffic ? std::move(accounts.traffic) : std::make_shared<Traffic>()),
      reports_(accounts.reports),
      service_(accounts.service),
      open_again_(loop_, [this] { OpenListeners(); }),
      reap_(loop_, [this] { Reap(); }),
      sweep_(loop_, [this] { Sweep(); }) {}

ServiceHost::~ServiceHost() {
  admission_.Forget(this);
  acceptors_.clear();
  connections_.clear();
}

void ServiceHost::Begin() { sweep_.Start(net::kLivenessCheck); }

void ServiceHost::End() {
  admission_.Forget(this);  // nobody wakes it any more
  acceptors_.clear();
  CutAll();
  prober_.Stop();
  probes_.End();
  Reap();  // the loop does not do it any more, and their ends are to be reported
}

void ServiceHost::CutAll() {
  for (auto& connection : connections_) connection->Cut(CloseReason::kDrainTimeout);
}

void ServiceHost::PostSnapshot(std::shared_ptr<const Snapshot> snapshot) {
  loop_.Post([this, snapshot = std::move(snapshot)]() mutable {
    std::shared_ptr<const Snapshot> before = std::exchange(snapshot_, std::move(snapshot));
    FollowUpstreams();
    prober_.Follow();
    review_.Begin(std::move(before), snapshot_);
  });
}

void ServiceHost::FollowUpstreams() noexcept {
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

std::shared_ptr<Upstream> ServiceHost::UpstreamOf(const std::string& listener) {
  if (const auto known = upstreams_.find(listener); known != upstreams_.end()) return known->second;
  if (!snapshot_) return nullptr;
  const auto rules = snapshot_->upstreams.find(listener);
  if (rules == snapshot_->upstreams.end()) return nullptr;
  auto upstream = std::make_shared<Upstream>(MakeBalancer(*rules->second, random_()), rules->second,
                                             random_(), this);
  upstreams_.emplace(listener, upstream);
  return upstream;
}

std::unique_ptr<net::Task> ServiceHost::MakeListenerTask(std::string name, ListenerKind kind,
                                                         net::UniqueFd listening) {
  // All that the worker could lack memory for in taking it over is made here; and std::function
  // wants a copyable task.
  auto opening = std::make_shared<std::list<Opening>>();
  opening->push_back({std::move(name), kind, std::move(listening)});
  return std::make_unique<net::Task>([this, opening] {
    opening_.splice(opening_.end(), *opening);
    OpenListeners();
  });
}

std::unique_ptr<net::Task> ServiceHost::MakeResumeTask(std::string name) {
  return std::make_unique<net::Task>([this, name = std::move(name)] {
    // One that there was no memory for yet begins by looking.
    const auto found = acceptors_.find(name);
    if (found != acceptors_.end() && found->second.acceptor) found->second.acceptor->Resume();
  });
}

void ServiceHost::OpenListeners() {
  open_again_.Start(kOpenAgain);
  while (!opening_.empty()) {
    Open(opening_.front());
    opening_.pop_front();
  }
  open_again_.Stop();
}

void ServiceHost::Open(Opening& opening) {
  net::Acceptor::Callbacks callbacks;
  callbacks.on_accept = [this, name = opening.name, kind = opening.kind](
                            net::UniqueFd accepted, const net::SocketAddress& peer) {
    Admit(name, kind, std::move(accepted), peer);
  };
  callbacks.on_pause = [this, name = opening.name](int error) { OnAcceptPause(name, error); };
  callbacks.has_room = [this, kind = opening.kind] { return HasRoom(kind); };
  Listening& entry = acceptors_[opening.name];
  auto acceptor =
      std::make_unique<net::Acceptor>(loop_, std::move(opening.listening), std::move(callbacks));
  // This one, and the socket that it is a duplicate of.
  if (!entry.acceptor) admission_.AddListeners(opening.kind, kDescriptorsEach);
  entry = {opening.kind, std::move(acceptor)};
}

void ServiceHost::PostCloseListener(std::string name, Queued queued, std::function<void()> done) {
  loop_.Post([this, name = std::move(name), queued, done = std::move(done)] {
    opening_.remove_if([&](const Opening& opening) { return opening.name == name; });
    if (const auto found = acceptors_.find(name); found != acceptors_.end()) {
      if (found->second.acceptor) {
        if (queued == Queued::kTaken) found->second.acceptor->AcceptWaiting();
        admission_.AddListeners(found->second.kind, -kDescriptorsEach);
      }
      acceptors_.erase(found);
    }
    if (done) done();
  });
}

void ServiceHost::PostDrain(milliseconds quiet, std::optional<ListenerKind> only,
                            std::function<void()> done) {
  loop_.Post([this, quiet, only, done = std::move(done)] {
    drain_.Begin(quiet, only);
    done();
  });
}

void ServiceHost::PostRetire(milliseconds quiet, milliseconds spread, std::function<void()> done) {
  loop_.Post([this, quiet, spread, done = std::move(done)] {
    drain_.Retire(quiet, spread);
    done();
  });
}

void ServiceHost::PostAwaitAll(ListenerKind kind, std::function<void()> done) {
  loop_.Post([this, kind, done = std::move(done)] {
    drain_.AwaitAll(kind);
    done();
  });
}

void ServiceHost::PostTap(std::uint64_t id, std::shared_ptr<Tap> tap,
                          std::function<void(const ConnectionView*)> done) {
  loop_.Post([this, id, tap = std::move(tap), done = std::move(done)] {
    for (const auto& connection : connections_) {
      if (connection->record().id != id || connection->retired()) continue;
      ConnectionView view;
      connection->Show(&view);
      done(connection->Attach(tap) ? &view : nullptr);
      return;
    }
    done(nullptr);
  });
}

void ServiceHost::PostCutAwaited() {
  loop_.Post([this] { drain_.CutAwaited(); });
}

void ServiceHost::PostCutAll() {
  loop_.Post([this] { CutAll(); });
}

void ServiceHost::Sweep() {
  sweep_.Start(rounds_.Pause(net::kLivenessCheck));
  // A connection may retire inside the call; it stays on the list until after this event.
  (void)rounds_.Next([this](std::unique_ptr<Connection>& connection) {
    loop_.Attend(connection.get(), [&] { connection->OnSweep(); });
  });
}

void ServiceHost::OnAcceptPause(const std::string& name, int error) {
  stats_.accept_pauses.Add();
  admission_.NoteShortage();
  AwaitRoom();
  log_.WriteRationed(
      log::Level::kWarn, "data", "accept paused", {NameOf(error), name},
      {{"listener", name}, {"error", std::strerror(error)}, {"cure", net::CureOf(error)}});
}

void ServiceHost::ResumeAcceptors() {
  for (auto& [name, listening] : acceptors_) {
    if (listening.acceptor) listening.acceptor->Resume();
  }
}

void ServiceHost::AwaitRoom() {
  admission_.Waiting(this, [this] { loop_.Post([this] { ResumeAcceptors(); }); });
}

bool ServiceHost::HasRoom(ListenerKind kind) {
  const Room room = admission_.Ask(kind);
  if (room == Room::kYes) return true;
  // What is shed here comes free after this event, and then this listener goes on.
  const Unproven::Ended shed = kind == ListenerKind::kPublic ? unproven_.MakeRoom() : 0;
  if (shed > 0) NoteShed(room, shed);
  // Admit refuses it: the client may try another instance, where a queue would only keep it
  // waiting.
  if (shed == 0 && room == Room::kNoMemory) return true;
  AwaitRoom();
  return false;
}

void ServiceHost::NoteShed(Room why, Unproven::Ended ended) {
  stats_.handshakes_shed.Add(ended);
  StrangerLog(CloseReason::kOutOfResources, log::Level::kWarn,
              "unproven callers ended to make room", Shortage(why),
              {{"reason", CloseReasonName(CloseReason::kOutOfResources)},
               {"shortage", Shortage(why)},
               {"ended", ended},
               {"handshakes", admission_.handshakes()}});
}

void ServiceHost::HandshakeHolds(Connection* connection, std::size_t bytes) {
  if (const Unproven::Ended ended = unproven_.Holds(connection, bytes); ended > 0)
    NoteShed(Room::kNoHandshakes, ended);
}

std::shared_ptr<UpstreamCaps> ServiceHost::CapsOf(const std::string& listener) const {
  if (!snapshot_) return nullptr;
  const auto rules = snapshot_->upstreams.find(listener);
  return rules == snapshot_->upstreams.end() ? nullptr : rules->second->caps;
}

void ServiceHost::Admit(const std::string& name, ListenerKind kind, net::UniqueFd fd,
                        const net::SocketAddress& peer) {
  const bool inbound = kind == ListenerKind::kPublic;
  Places places;
  if (const auto over = AtAccept(admission_, kind, CapsOf(name), peer, loop_.now(), &places)) {
    net::SetResetOnClose(fd.get());
    const std::string detail = over->Text();
    CountUnbegun(name, kind, peer, CloseReason::kOverLimit, detail);
    StrangerLog(CloseReason::kOverLimit, log::Level::kWarn, "connection refused",
                inbound ? peer.Host() : name,
                {{"reason", CloseReasonName(CloseReason::kOverLimit)},
                 {"listener", name},
                 {"detail", detail},
                 {"peer", peer.Text()}});
    return;
  }
  if (const Room room = admission_.Ask(kind); room == Room::kNoMemory) {
    CountUnbegun(name, kind, peer, CloseReason::kOutOfResources);
    net::SetResetOnClose(fd.get());
    StrangerLog(CloseReason::kOutOfResources, log::Level::kWarn, "connection refused", name,
                {{"reason", CloseReasonName(CloseReason::kOutOfResources)},
                 {"listener", name},
                 {"shortage", Shortage(room)},
                 {"buffered", admission_.buffers().kept()},
                 {"peer", peer.Text()}});
    return;
  }
  Connection* connection = nullptr;
  loop_.Attend(nullptr, [&] {
    bool listed = false;
    try {
      connections_.emplace_front();
      listed = true;
      if (inbound) {
        connections_.front() = std::make_unique<Inbound>(*this, std::move(fd), peer);
        unproven_.Enter(connections_.front().get());
      } else {
        connections_.front() = std::make_unique<Outbound>(*this, name, std::move(fd), peer);
      }
    } catch (...) {
      if (fd) net::SetResetOnClose(fd.get());  // never begun is no clean end
      if (listed) connections_.pop_front();
      CountUnbegun(name, kind, peer,
                   inbound ? Escaped("inbound ended") : Escaped("outbound ended"));
      return;
    }
    connection = connections_.front().get();
    connection->record_.id = admission_.NextId();
    connection->places_ = std::move(places);
    connection->position_ = connections_.begin();
    review_.Joined(*connection);
    counters(kind).total.Add();
    counters(kind).active.Add();
    admission_.Enter(kind);
  });
  if (connection != nullptr) loop_.Attend(connection, [connection] { connection->Begin(); });
}

void ServiceHost::Retire(Connection* connection) noexcept {
  if (!connection->NoteRetired()) return;
  Proven(connection);  // or not: it is no handshake under way any more
  heap_.NoteEnd();
  drain_.Retired(*connection);
  counters(connection->kind()).active.Add(-1);
  CountEnd(connection->record_);
  // Its own code is on the stack, and a walk over connections_ may be under way: it is taken off
  // the list later.
  connection->next_retired_ = std::exchange(retired_, connection);
  reap_.Arm();
}

void ServiceHost::CountUnbegun(const std::string& name, ListenerKind kind,
                               const net::SocketAddress& peer, CloseReason reason,
                               std::string_view detail) noexcept {
  Record record;
  record.id = admission_.NextId();
  record.kind = kind;
  record.begun = loop_.now();
  record.peer = peer;
  record.reason = reason;
  try {
    record.detail = detail;
  } catch (const std::bad_alloc&) {  // the reason stays
  }
  counters(kind).total.Add();
  if (kind == ListenerKind::kPublic) {
    EnterFlow(&record, Traffic::kUnproven, {});
  } else {
    EnterFlowOf(&record, name);
  }
  CountEnd(record);
  ReportEnd(std::move(record));
}

void ServiceHost::NoteLife(Report::What what, Record* record) noexcept {
  if (reports_ == nullptr) return;
  const Reports::Wanted wanted = reports_->wanted();
  const net::MonotonicTime now = loop_.now();
  const bool starts = what == Report::What::kStart;
  const bool due =
      starts ? wanted.starts : wanted.every.count() > 0 && now - record->reported >= wanted.every;
  if (starts || due) record->reported = now;
  if (!due) return;
  try {
    reports_->Note({what, service_, now, *record});
  } catch (const std::bad_alloc&) {
    reports_->Drop();
  }
}

void ServiceHost::ReportEnd(Record&& record) noexcept {
  if (reports_ == nullptr) return;
  reports_->Note({Report::What::kEnd, service_, loop_.now(), std::move(record)});
}

void ServiceHost::CountEnd(Record& record) noexcept {
  DirectionStats& stats = counters(record.kind);
  record.kept_in = record.kept_out = 0;
  record.Feed(stats);
  stats.closed[*record.reason].Add();
  if (!record.flow) return;
  const net::MonotonicTime now = loop_.now();
  record.flow->lifetime.Add(std::chrono::duration_cast<microseconds>(now - record.begun));
  traffic_->Leave(*record.flow, *record.reason, now);
}

void ServiceHost::Reap() {
  while (retired_ != nullptr) {
    Connection* const connection = std::exchange(retired_, retired_->next_retired_);
    const ListenerKind kind = connection->kind();
    ReportEnd(std::move(connection->record_));
    rounds_.Leaving(connection->position_);
    review_.Leaving(connection->position_);
    lister_.Leaving(connection->position_);
    connections_.erase(connection->position_);
    admission_.Leave(kind);
  }
  admission_.WakeWaiting();
}

void ServiceHost::OnEjected(const UpstreamRules& rules, const Endpoint& endpoint) noexcept {
  const EndpointHistory& history = *endpoint.history;
  const Ejection& ejection = history.ejection();
  try {
    const std::string address = endpoint.address.Text();
    log_.WriteRationed(log::Level::kWarn, "data", "endpoint ejected",
                       {CloseReasonName(history.failed_for()), address},
                       {{"upstream", rules.name},
                        {"endpoint", address},
                        {"reason", CloseReasonName(history.failed_for())},
                        {"failures_in_a_row", history.failures_in_a_row()},
                        {"milliseconds", Milliseconds(ejection.until() - ejection.since())}});
  } catch (const std::bad_alloc&) {  // no memory for a line; /status has it
  }
}

void ServiceHost::OnBack(const UpstreamRules& rules, const Endpoint& endpoint) noexcept {
  const EndpointHistory& history = *endpoint.history;
  const Ejection& ejection = history.ejection();
  try {
    const std::string address = endpoint.address.Text();
    log_.WriteRationed(log::Level::kInfo, "data", "endpoint back in service",
                       {CloseReasonName(history.failed_for()), address},
                       {{"upstream", rules.name},
                        {"endpoint", address},
                        {"milliseconds_out", Milliseconds(ejection.back_at() - ejection.since())}});
  } catch (const std::bad_alloc&) {
  }
}

void ServiceHost::StrangerLog(CloseReason reason, log::Level level, log::Literal message,
                              std::string_view who, log::Fields fields) {
  log_.WriteRationed(level, "data", message, {CloseReasonName(reason), who}, fields);
}

std::int64_t ActiveOf(const std::vector<ServiceHost*>& hosts) {
  std::int64_t active = 0;
  for (const ServiceHost* host : hosts) active += host->active();
  return active;
}

}  // namespace mooring::data
