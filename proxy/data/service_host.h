// ServiceHost: what one worker does for one service: the accepting ends of its listeners, its
// connections, and the snapshot that they are decided by. It is the Host of those connections.
//
// The services of a process share its workers, and what the kernel and the machine have (Admission,
// Unproven). They share no identity, rule, connection, counter or ticket. So what is decided for a
// connection is decided by the listener that it came in by.
//
// Verbs named Post... may be called from any thread and take effect on the worker's loop, in order;
// stats() is anybody's. The rest belongs to the loop's thread. A worker makes it, and it ends with
// the worker.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "proxy/data/admission.h"
#include "proxy/data/connection.h"
#include "proxy/data/drain.h"
#include "proxy/data/heap_trim.h"
#include "proxy/data/host.h"
#include "proxy/data/lister.h"
#include "proxy/data/prober.h"
#include "proxy/data/probes.h"
#include "proxy/data/report.h"
#include "proxy/data/review.h"
#include "proxy/data/rounds.h"
#include "proxy/data/snapshot.h"
#include "proxy/data/stats.h"
#include "proxy/data/traffic.h"
#include "proxy/data/unproven.h"
#include "proxy/data/upstream.h"
#include "proxy/log/log.h"
#include "proxy/net/listener.h"
#include "proxy/net/loop.h"

namespace mooring::data {

// Queued is what becomes of the clients that the kernel has greeted for a listener that closes.
enum class Queued { kTaken, kLeft };

class ServiceHost final : public Host, public Upstream::Observer {
 public:
  // Shared is what the services have in common on one worker. It outlives them.
  struct Shared {
    net::Loop& loop;
    Admission& admission;
    Unproven& unproven;
    HeapTrim& heap;
  };
  // Accounts is where the hosts of one service on all workers keep account.
  struct Accounts {
    std::shared_ptr<Traffic> traffic = nullptr;  // null: this one has its own
    Reports* reports = nullptr;                  // outlives it; null: nobody wants any
    unsigned service = 0;                        // what the reports call it
  };
  ServiceHost(const Shared& shared, log::Log& log, Accounts accounts);
  ~ServiceHost();  // on the loop's thread, or after it
  ServiceHost(const ServiceHost&) = delete;
  ServiceHost& operator=(const ServiceHost&) = delete;

  void PostSnapshot(std::shared_ptr<const Snapshot> snapshot);
  // PostListener accepts from `listening` (which is taken over) under a name that is the key in
  // Snapshot::upstreams. An earlier listener of the same name is replaced.
  void PostListener(std::string name, ListenerKind kind, net::UniqueFd listening) {
    loop_.Post(MakeListenerTask(std::move(name), kind, std::move(listening)));
  }
  // MakeListenerTask is the part of PostListener that needs memory; the rest is to hand the task to
  // Post.
  std::unique_ptr<net::Task> MakeListenerTask(std::string name, ListenerKind kind,
                                              net::UniqueFd listening);
  void Post(std::unique_ptr<net::Task> task) noexcept { loop_.Post(std::move(task)); }
  // MakeResumeTask is for a listener whose socket listens again (net/refusing_port.h): to be posted
  // once it does.
  std::unique_ptr<net::Task> MakeResumeTask(std::string name);
  // PostCloseListener stops accepting; live connections go on. What the kernel has queued is taken
  // before, or left to the next process that has the socket.
  // `done` runs on the worker's thread.
  void PostCloseListener(std::string name, Queued queued, std::function<void()> done);

  // The end of connections (drain.h says how). `done` runs on the worker's thread once awaited()
  // counts them.
  void PostDrain(milliseconds quiet, std::optional<ListenerKind> only, std::function<void()> done);
  // PostRetire is for a host whose listeners are another process's now: all connections are
  // awaited, and each ends between exchanges at a moment of `spread`.
  void PostRetire(milliseconds quiet, milliseconds spread, std::function<void()> done);
  // after its listeners are closed
  void PostAwaitAll(ListenerKind kind, std::function<void()> done);
  void PostCutAwaited();
  void PostCutAll();  // kDrainTimeout
  // awaited is how many connections a drain still waits for.
  std::int64_t awaited() const { return stats_.drain_awaits.value(); }

  // PostTap attaches it to the connection of that number, if it is one of these and carries
  // traffic. `done` runs on the worker's thread, with what is known of the connection, or null.
  void PostTap(std::uint64_t id, std::shared_ptr<Tap> tap,
               std::function<void(const ConnectionView*)> done);
  // PostInquiry has it come back with the connections that it asks for (lister.h).
  void PostInquiry(std::shared_ptr<Inquiry> inquiry) {
    loop_.Post([this, inquiry = std::move(inquiry)] { lister_.Ask(inquiry); });
  }

  const ServiceStats& stats() const { return stats_; }
  std::int64_t active() const {
    return stats_.inbound.active.value() + stats_.outbound.active.value();
  }

  // Begin and End are for the worker's thread, when it starts to serve and when it has stopped: End
  // cuts what is left (kDrainTimeout).
  void Begin();
  void End();

  // Host, for connections.
  net::Loop& loop() override { return loop_; }
  const std::shared_ptr<const Snapshot>& snapshot() const override { return snapshot_; }
  log::Log& log() override { return log_; }
  net::MemoryMeter& buffers() override { return admission_.buffers(); }
  DirectionStats& counters(ListenerKind kind) override {
    return kind == ListenerKind::kPublic ? stats_.inbound : stats_.outbound;
  }
  Traffic& traffic() override { return *traffic_; }
  Probes& probes() override { return probes_; }
  void HandshakeHolds(Connection* connection, std::size_t bytes) override;
  void Proven(Connection* connection) noexcept override { unproven_.Leave(connection); }
  void NoteLife(Report::What what, Record* record) noexcept override;
  void Retire(Connection* connection) noexcept override;
  void StrangerLog(CloseReason reason, log::Level level, log::Literal message, std::string_view who,
                   log::Fields fields) override;
  std::shared_ptr<Upstream> UpstreamOf(const std::string& listener) override;

  // Upstream::Observer: a line in the log for each.
  void OnEjected(const UpstreamRules& rules, const Endpoint& endpoint) noexcept override;
  void OnBack(const UpstreamRules& rules, const Endpoint& endpoint) noexcept override;

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
  // of one that there was no room or no memory for
  void CountUnbegun(const std::string& name, ListenerKind kind, const net::SocketAddress& peer,
                    CloseReason reason, std::string_view detail = {}) noexcept;
  void CountEnd(Record& record) noexcept;
  void ReportEnd(Record&& record) noexcept;
  void Reap();
  void Sweep();
  void CutAll();
  void OpenListeners();
  void Open(Opening& opening);
  // HasRoom is asked before each accept. It may make room for a caller by ending one that has not
  // proven itself (Unproven).
  bool HasRoom(ListenerKind kind);
  void NoteShed(Room why, Unproven::Ended ended);
  void AwaitRoom();
  // CapsOf are those of the upstream at a listener; null: it is none's, or nobody counts.
  std::shared_ptr<UpstreamCaps> CapsOf(const std::string& listener) const;
  void Admit(const std::string& name, ListenerKind kind, net::UniqueFd fd,
             const net::SocketAddress& peer);
  void ResumeAcceptors();
  void OnAcceptPause(const std::string& name, int error);

  net::Loop& loop_;
  log::Log& log_;
  Admission& admission_;
  Unproven& unproven_;
  HeapTrim& heap_;
  const std::shared_ptr<Traffic> traffic_;
  Reports* const reports_;
  const unsigned service_;
  ServiceStats stats_;
  // The loop's thread only.
  std::shared_ptr<const Snapshot> snapshot_;
  std::list<Opening> opening_;  // not accepting yet: there was no memory for it
  net::Timer open_again_;
  std::map<std::string, Listening> acceptors_;
  std::list<std::unique_ptr<Connection>> connections_;
  Connection* retired_ = nullptr;
  net::Chore reap_;
  Rounds<std::unique_ptr<Connection>> rounds_{connections_};
  Review review_{loop_, connections_};
  Lister lister_{loop_, connections_};
  Drain drain_{loop_, connections_, stats_.drain_awaits};
  // by listener; those that a connection has asked for
  std::map<std::string, std::shared_ptr<Upstream>> upstreams_;
  Probes probes_{*this};
  Prober prober_{*this, probes_};
  std::minstd_rand random_{std::random_device{}()};
  net::Timer sweep_;
};

// ActiveOf is how many connections hosts have together.
std::int64_t ActiveOf(const std::vector<ServiceHost*>& hosts);

}  // namespace mooring::data
