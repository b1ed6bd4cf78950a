// AgentConnections: all of this process's connections to the agent, few by design (an agent admits 200 from one address), and
// whose request goes over which.
//
// Configuration, roots, leaf and intentions have a connection of their own each, for a blocking query. One is shared by all
// that is answered soon: one-offs, heartbeats, polls. What is left, at most one an upstream, is for the blocking queries of
// upstreams (turns.h says whose) and helps out with short requests. A blocking query begins only where another shared
// connection stays idle, so that short requests always find one.
//
// Order: one-offs, then first questions, then polls; the older one first. A one-off's deadline counts from when it is asked
// for, because somebody waits for it; a watch's counts from when it is sent. A request given up before it is answered keeps
// its connection until the answer has come: the agent counts it that long. Loop thread only.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "proxy/control/admission.h"
#include "proxy/control/turns.h"
#include "proxy/http/client.h"
#include "proxy/net/loop.h"
#include "proxy/net/retry_pause.h"

namespace mooring::control {

class Asker;

class AgentConnections final {
 public:
  // Own: who has a connection of their own. Several askers may share one.
  enum class Own { kConfiguration, kRoots, kLeaf, kIntentions, kNone };
  static constexpr std::size_t kOwn = 4;


  // `limit`: so many connections at most; less than kOwn + 2 counts as that.
  AgentConnections(net::Loop& loop, http::Endpoint endpoint, unsigned limit);
  ~AgentConnections();  // all askers must be gone
  AgentConnections(const AgentConnections&) = delete;
  AgentConnections& operator=(const AgentConnections&) = delete;

  // Reserve says how many of Own there will be, kOwn unless it is called; before the first upstream.
  void Reserve(std::size_t own);

  Turns& turns() { return turns_; }

  std::size_t open() const;  // connected or connecting
  unsigned limit() const { return limit_; }
  // Complaint says why new connections are not to be had; empty while they are.
  std::string Complaint() const;
  // LastLoss is when a connection last ended without an answer: what is heard first after it comes from an agent that may
  // have just started.
  net::MonotonicTime last_loss() const { return last_loss_; }

 private:
  friend class Asker;
  struct Line;

  std::size_t SharedLines() const;  // how many there may be
  void Submit(Asker* asker);
  void Withdraw(Asker* asker);
  void Dispatch();
  // Find is the line over which that request may go now; null: none.
  Line* Find(const Asker& asker);
  Line* FindShared(const Asker& asker);
  bool MayOpen(const Asker& asker) const;
  bool Hopeless(const Asker& asker) const;  // nothing that happens soon lets it go
  bool CanWait(const Asker& asker) const;
  void Begin(Asker* asker, Line* line);
  void Ended(Line* line, Result<http::Response> answer);
  void Learn(Line* line, const Result<http::Response>& answer, bool was_new);

  net::Loop& loop_;
  const http::Endpoint endpoint_;
  const unsigned limit_;
  std::size_t reserved_ = kOwn;
  Turns turns_;
  Admission admission_;
  std::array<std::unique_ptr<Line>, kOwn> own_;
  std::vector<std::unique_ptr<Line>> shared_;
  std::list<Asker*> queue_;
  // An agent that is not there, or does not answer: watches without a connection of their own try it one at a time.
  net::RetryPause away_;
  unsigned silent_ = 0;  // requests in a row that got no answer in time
  net::MonotonicTime last_loss_{};
  std::string last_error_;
};

// Asker: one user's way to the agent, for one request at a time.
class Asker final {
 public:
  using Callback = http::Client::Callback;
  enum class Rank { kOneOff, kFirst, kPoll, kRetry };
  struct Manner {
    Rank rank = Rank::kOneOff;
    bool waits = false;  // a blocking query
  };

  explicit Asker(AgentConnections& connections, AgentConnections::Own own = AgentConnections::Own::kNone);
  ~Asker();  // the callback of a request under way never runs
  Asker(const Asker&) = delete;
  Asker& operator=(const Asker&) = delete;

  // Send starts a request, or queues it; one under way is given up without its callback. The callback never runs inside
  // Send, and may call Send or destroy the Asker. Errors are http::Client's, and kUnavailable with Admission::kFull or the
  // last failure where no connection is to be had.
  void Send(http::Request request, Callback callback) { Send(std::move(request), Manner{}, std::move(callback)); }
  void Send(http::Request request, Manner manner, Callback callback);
  void Cancel();
  bool busy() const { return callback_ != nullptr; }
  // CanWait: there is a connection for a blocking query, or one may be opened. Without it the asker can only poll.
  bool CanWait() const { return connections_.CanWait(*this); }

 private:
  friend class AgentConnections;
  void OnTimer();

  AgentConnections& connections_;
  const AgentConnections::Own own_;
  AgentConnections::Line* line_ = nullptr;  // that the request is under way on; null: queued, or none
  http::Request request_;
  Manner manner_;
  Callback callback_;
  net::MonotonicTime asked_at_{};
  std::string hopeless_;  // why the request will fail at the timer
  net::Timer timer_;      // the deadline of a queued one-off
};

}  // namespace mooring::control
