// AgentConnections: all of this process's connections to the agent, few by design (an agent admits
// 200 from one address), and whose request goes over which.
//
// How many there may be, and who waits on one of its own, is decided in connection_budget.h. Own
// ones are alike: who has a claim finds one that is free. The others are shared by all that is
// answered soon: one-offs, heartbeats, polls. At most one more an upstream is for the blocking
// queries of upstreams (turns.h says whose) and helps out with short requests. A blocking query
// begins only where another shared connection stays idle, so that short requests always find one.
//
// Order: one-offs, then first questions, then polls, then retries; the older one first. A one-off's
// deadline counts from when it is asked for, because somebody waits for it; a question's counts
// from when it is sent. A request given up before it is answered keeps its connection until the
// answer has come: the agent counts it that long. Loop thread only.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "proxy/control/admission.h"
#include "proxy/control/connection_budget.h"
#include "proxy/control/turns.h"
#include "proxy/http/client.h"
#include "proxy/net/loop.h"
#include "proxy/net/retry_pause.h"

namespace mooring::control {

class Asker;

class AgentConnections final {
 public:
  using Own = ConnectionBudget::Own;

  // `of_one`: so many connections are one service's at most (connection_budget.h).
  AgentConnections(net::Loop& loop, http::Endpoint endpoint, unsigned of_one);
  ~AgentConnections();  // all askers must be gone
  AgentConnections(const AgentConnections&) = delete;
  AgentConnections& operator=(const AgentConnections&) = delete;

  // AddService, RemoveService: one more or less of the services that share the connections.
  void AddService();
  void RemoveService();

  Turns& turns() { return turns_; }

  // SetEndpoint: all go elsewhere from now on, what is under way included, which is asked again
  // there. The old connections are closed at once.
  void SetEndpoint(http::Endpoint endpoint);

  std::size_t open() const;  // connected or connecting
  unsigned limit() const { return budget_.limit(); }
  unsigned services() const { return budget_.services(); }
  // Crowded: there are more services than connections of their own for them.
  bool crowded() const { return budget_.Crowded(); }
  // Complaint says why new connections are not to be had; empty while they are.
  std::string Complaint() const;
  // LastLoss is when a connection last ended without an answer: what is heard first after it comes
  // from an agent that may have just started.
  net::MonotonicTime last_loss() const { return last_loss_; }

 private:
  friend class Asker;
  struct Line;

  void Claim(Own own);
  void Release(Own own);
  std::size_t SharedLines() const;  // how many there may be
  bool HasOwn(const Asker& asker) const;
  void Submit(Asker* asker);
  void Withdraw(Asker* asker);
  void Dispatch();
  // Find is the line over which that request may go now; null: none.
  Line* Find(const Asker& asker);
  Line* FindOwn(const Asker& asker);
  Line* FindShared(const Asker& asker);
  Line* NewLine(std::vector<std::unique_ptr<Line>>* lines);
  bool MayOpen(const Asker& asker) const;
  bool Hopeless(const Asker& asker) const;  // nothing that happens soon lets it go
  bool CanWait(const Asker& asker) const;
  void Begin(Asker* asker, Line* line);
  void Transmit(Line* line, http::Request request);
  void Ended(Line* line, Result<http::Response> answer);
  bool Surplus(const Line* line) const;
  void Learn(Line* line, const Result<http::Response>& answer, bool was_new);

  net::Loop& loop_;
  http::Endpoint endpoint_;
  ConnectionBudget budget_;
  Turns turns_;
  Admission admission_;
  std::vector<std::unique_ptr<Line>> own_;
  std::vector<std::unique_ptr<Line>> shared_;
  std::list<Asker*> queue_;
  // An agent that is not there, or does not answer: questions without a connection of their own try
  // it one at a time.
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

  // With an `own` it may claim a connection of its own.
  explicit Asker(AgentConnections& connections,
                 AgentConnections::Own own = AgentConnections::Own::kNone);
  ~Asker();  // the callback of a request under way never runs
  Asker(const Asker&) = delete;
  Asker& operator=(const Asker&) = delete;

  // Send starts a request, or queues it; an exception means neither. One under way is given up
  // without its callback. The callback never runs inside Send, and may call Send or destroy the
  // Asker. Errors are http::Client's, and kUnavailable with Admission::kFull or the last failure
  // where no connection is to be had.
  void Send(http::Request request, Callback callback) {
    Send(std::move(request), Manner{}, std::move(callback));
  }
  void Send(http::Request request, Manner manner, Callback callback);
  void Cancel();
  bool busy() const { return callback_ != nullptr; }
  // AskedWith is the token that the last request went with; empty: none. By the time of the answer
  // its file may have another.
  const std::string& AskedWith() const { return asked_with_; }
  // Claim says whether a connection of its own is wanted from now on; Owns whether the claim is
  // granted at the moment.
  void Claim(bool wanted);
  bool Owns() const { return connections_.HasOwn(*this); }
  // CanWait: there is a connection for a blocking query, or one may be opened. Without it the asker
  // can only poll.
  bool CanWait() const { return connections_.CanWait(*this); }

 private:
  friend class AgentConnections;
  void OnTimer();

  AgentConnections& connections_;
  const AgentConnections::Own own_;
  bool claims_ = false;
  // that the request is under way on; null: queued, or none
  AgentConnections::Line* line_ = nullptr;
  http::Request request_;
  std::string asked_with_;
  Manner manner_;
  Callback callback_;
  net::MonotonicTime asked_at_{};
  std::string hopeless_;  // why the request will fail at the timer
  net::Timer timer_;      // the deadline of a queued one-off
};

}  // namespace mooring::control
