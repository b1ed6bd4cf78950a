// Worker: one thread with one loop, its listeners' accepting ends, its connections and its snapshot.
//
// Verbs named Post... may be called from any thread and take effect on the worker's loop, in order. The
// rest belongs to that loop's thread: it is the Host of the connections.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "proxy/data/admission.h"
#include "proxy/data/connection.h"
#include "proxy/data/drain.h"
#include "proxy/data/host.h"
#include "proxy/data/review.h"
#include "proxy/data/rounds.h"
#include "proxy/data/snapshot.h"
#include "proxy/data/stats.h"
#include "proxy/data/upstream.h"
#include "proxy/log/log.h"
#include "proxy/net/listener.h"
#include "proxy/net/loop.h"

namespace mooring::data {

class Worker final : public net::Keeper, public Host {
 public:
  // Workers of one process share an Admission; without one there are no limits but the kernel's.
  explicit Worker(log::Log& log, std::shared_ptr<Admission> admission = nullptr);
  ~Worker();  // cuts what is left (kDrainTimeout), ends the thread
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void Start();  // starts the thread; throws as net::StartThread does

  void PostSnapshot(std::shared_ptr<const Snapshot> snapshot);
  // PostListener accepts from `listening` (the worker owns this descriptor) under a name that is the key
  // in Snapshot::upstreams. An earlier listener of the same name is replaced.
  void PostListener(std::string name, ListenerKind kind, net::UniqueFd listening) {
    loop_.Post(MakeListenerTask(std::move(name), kind, std::move(listening)));
  }
  // MakeListenerTask is the part of PostListener that needs memory; the rest is to post the task to loop().
  std::unique_ptr<net::Task> MakeListenerTask(std::string name, ListenerKind kind, net::UniqueFd listening);
  // PostCloseListener takes what the kernel has queued and stops accepting; live connections go on. `done` runs on the
  // worker's thread.
  void PostCloseListener(std::string name, std::function<void()> done);

  // The end of connections (drain.h says how). `done` runs on the worker's thread once awaited() counts them.
  void PostDrain(milliseconds quiet, std::function<void()> done);
  void PostAwaitAll(ListenerKind kind, std::function<void()> done);  // after its listeners are closed
  void PostCutAwaited();
  void PostCutAll();  // kDrainTimeout
  // awaited is how many connections a drain still waits for.
  std::int64_t awaited() const { return stats_.drain_awaits.value(); }

  const WorkerStats& stats() const { return stats_; }
  std::int64_t active() const { return stats_.inbound.active.value() + stats_.outbound.active.value(); }

  // Host, for connections.
  net::Loop& loop() override { return loop_; }
  const std::shared_ptr<const Snapshot>& snapshot() const override { return snapshot_; }
  log::Log& log() override { return log_; }
  net::MemoryMeter& buffers() override { return admission_->buffers(); }
  DirectionStats& counters(ListenerKind kind) override {
    return kind == ListenerKind::kPublic ? stats_.inbound : stats_.outbound;
  }
  void HandshakeHolds(Connection* connection, std::size_t bytes) override;
  void Proven(Connection* connection) noexcept override;
  void Retire(Connection* connection) noexcept override;
  void StrangerLog(CloseReason reason, log::Level level, log::Literal message, std::string_view who, log::Fields fields) override;
  std::shared_ptr<Upstream> UpstreamOf(const std::string& listener) override;

 private:
  struct Opening {
    std::string name;
    ListenerKind kind = ListenerKind::kPublic;
    net::UniqueFd listening;
  };
  struct Listening {
    ListenerKind kind = ListenerKind::kPublic;
    std::unique_ptr<net::Acceptor> acceptor;  // null: there was no memory for it yet
  };

  void FollowUpstreams() noexcept;
  void OnEscaped() noexcept override;  // from work that is no connection's
  void Reap();
  void Sweep();
  void TrimHeap();
  void OpenListeners();
  void Open(Opening& opening);
  // HasRoom is asked before each accept. It makes room for a caller by ending those that have had their time to prove
  // themselves and did not, the oldest first: silent ones after kSilentFor, the others after kUnprovenFor. So a flood of
  // strangers comes round quickly, and a caller that goes on with its handshake is not pushed out by those behind it.
  bool HasRoom(ListenerKind kind);
  bool ShedOldest(Room why);  // false: there is none that has had its time
  void ShedLargest();         // of the older ones, the one that has sent most
  void NoteShed(Room why, std::int64_t ended);
  void AwaitRoom();
  void Admit(const std::string& name, ListenerKind kind, net::UniqueFd fd, const net::SocketAddress& peer);
  void ResumeAcceptors();
  void OnAcceptPause(const std::string& name, int error);

  log::Log& log_;
  const std::shared_ptr<Admission> admission_;
  net::Loop loop_;
  std::thread thread_;
  WorkerStats stats_;
  // This loop only.
  std::shared_ptr<const Snapshot> snapshot_;
  std::list<Opening> opening_;  // not accepting yet: there was no memory for it
  net::Timer open_again_;
  std::map<std::string, Listening> acceptors_;
  std::list<std::unique_ptr<Connection>> connections_;
  Connection* retired_ = nullptr;
  net::Chore reap_;
  Rounds<std::unique_ptr<Connection>> rounds_{connections_};
  Review review_{loop_, connections_};
  Drain drain_{loop_, connections_, stats_.drain_awaits};
  std::list<Connection*> unproven_;  // callers, the oldest first
  std::map<std::string, std::shared_ptr<Upstream>> upstreams_;  // by listener; those that a connection has asked for
  std::minstd_rand random_{std::random_device{}()};
  net::Timer sweep_;
  bool ended_since_sweep_ = false;  // some connection
  bool trim_due_ = false;
};

}  // namespace mooring::data
