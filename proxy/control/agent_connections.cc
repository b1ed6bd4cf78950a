#include "proxy/control/agent_connections.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "tls/cleanse.h"

namespace mooring::control {
namespace {

using net::milliseconds;
using Rank = Asker::Rank;
using Trouble = http::Client::Trouble;

// Longer than the pause between two heartbeats, which are to keep their connection when the agent admits no new ones.
constexpr milliseconds kIdle{15'000};
constexpr milliseconds kAdmitted{1'000};  // who is turned away learns it at once
constexpr net::RetryPause::Bounds kRetryAway{milliseconds(250), milliseconds(8'000)};
constexpr unsigned kSilence = 3;  // so many late answers in a row are an agent that hangs; one is a slow document

constexpr std::array kRanks{Rank::kOneOff, Rank::kFirst, Rank::kPoll, Rank::kRetry};

bool Shared(AgentConnections::Own own) { return own == AgentConnections::Own::kNone; }

}  // namespace

struct AgentConnections::Line {
  Line(AgentConnections& owner, net::Loop& loop, const http::Endpoint& endpoint)
      : client(loop, endpoint), idle(loop, [this] { client.CloseIdle(); }), admitted(loop, [this, &owner] {
          if (!client.connected()) return;
          opening = false;
          owner.admission_.NoteAdmitted();
          owner.Dispatch();
        }) {}
  bool Idle() const { return !client.busy(); }

  http::Client client;
  net::Timer idle;  // a connection that nobody uses is closed
  net::Timer admitted;  // a new one is not turned away any more, even if its answer is slow or waits for a change
  Asker* asker = nullptr;  // null while busy: it has given up
  Rank rank = Rank::kOneOff;
  bool opening = false;    // the request under way began a connection
  bool answered = false;   // the connection has carried an answer
};

AgentConnections::AgentConnections(net::Loop& loop, http::Endpoint endpoint, unsigned limit)
    : loop_(loop),
      endpoint_(std::move(endpoint)),
      limit_(std::max<unsigned>(limit, kOwn + 2)),
      turns_(limit_ - 1 - reserved_) {}

AgentConnections::~AgentConnections() = default;

void AgentConnections::Reserve(std::size_t own) {
  reserved_ = std::min(own, kOwn);
  turns_.SetSeats(limit_ - 1 - reserved_);
}

std::size_t AgentConnections::SharedLines() const { return 1 + std::min(turns_.players(), turns_.seats()); }

std::size_t AgentConnections::open() const {
  std::size_t count = 0;
  const auto add = [&count](const std::unique_ptr<Line>& line) {
    if (line && (line->client.connected() || line->client.busy())) ++count;
  };
  for (const auto& line : own_) add(line);
  for (const auto& line : shared_) add(line);
  return count;
}

std::string AgentConnections::Complaint() const {
  if (admission_.Full()) return Admission::kFull;
  return admission_.TurnedAway() ? last_error_ : std::string();
}

void AgentConnections::Submit(Asker* asker) {
  queue_.push_back(asker);
  Dispatch();
}

void AgentConnections::Withdraw(Asker* asker) {
  queue_.remove(asker);
  if (asker->line_ != nullptr) std::exchange(asker->line_, nullptr)->asker = nullptr;
}

void AgentConnections::Dispatch() {
  for (const Rank rank : kRanks) {
    for (auto it = queue_.begin(); it != queue_.end();) {
      Asker* asker = *it;
      Line* line = asker->manner_.rank == rank ? Find(*asker) : nullptr;
      if (line == nullptr) {
        ++it;
        continue;
      }
      it = queue_.erase(it);
      Begin(asker, line);
    }
  }
  for (auto it = queue_.begin(); it != queue_.end();) {
    Asker* asker = *it;
    if (!Hopeless(*asker)) {
      ++it;
      continue;
    }
    it = queue_.erase(it);
    asker->hopeless_ = admission_.Full() ? Admission::kFull : last_error_;
    asker->timer_.Start(milliseconds(0));
  }
}

AgentConnections::Line* AgentConnections::Find(const Asker& asker) {
  if (Shared(asker.own_)) return FindShared(asker);
  auto& own = own_[static_cast<std::size_t>(asker.own_)];
  if (!own) own = std::make_unique<Line>(*this, loop_, endpoint_);
  if (own->Idle() && (own->client.connected() || MayOpen(asker))) return own.get();
  // Behind somebody else's blocking query, or where no connection is to be had, a short one goes with the others.
  return asker.manner_.waits ? nullptr : FindShared(asker);
}

AgentConnections::Line* AgentConnections::FindShared(const Asker& asker) {
  if (asker.manner_.waits && !CanWait(asker)) return nullptr;
  std::size_t retries = 0;
  for (const auto& line : shared_) retries += !line->Idle() && line->rank == Rank::kRetry ? 1u : 0u;
  // Documents that fail may fail slowly, and must leave room for the others.
  const std::size_t lines = SharedLines();
  if (asker.manner_.rank == Rank::kRetry && retries >= std::max<std::size_t>(lines / 2, 1)) return nullptr;
  Line* unopened = nullptr;
  Line* connected = nullptr;
  std::size_t connections = 0;
  for (std::size_t i = 0; i < std::min(lines, shared_.size()); ++i) {
    if (!shared_[i]->Idle()) continue;
    Line*& first = shared_[i]->client.connected() ? connected : unopened;
    if (first == nullptr) first = shared_[i].get();
    connections += shared_[i]->client.connected() ? 1u : 0u;
  }
  // The last connection stays with the short ones: there may be no other to be had.
  if (connections >= (asker.manner_.waits ? 2u : 1u)) return connected;
  if (!MayOpen(asker)) return nullptr;
  if (unopened == nullptr && shared_.size() < lines) {
    shared_.push_back(std::make_unique<Line>(*this, loop_, endpoint_));
    unopened = shared_.back().get();
  }
  return unopened;
}

bool AgentConnections::CanWait(const Asker& asker) const {
  const bool may_open = MayOpen(asker);
  if (!Shared(asker.own_)) {
    const auto& own = own_[static_cast<std::size_t>(asker.own_)];
    return may_open || (own && own->client.connected());
  }
  const std::size_t lines = SharedLines();
  std::size_t busy = 0;
  std::size_t idle_connections = 0;
  for (std::size_t i = 0; i < shared_.size(); ++i) {
    if (!shared_[i]->Idle()) {
      ++busy;
    } else if (i < lines && shared_[i]->client.connected()) {
      ++idle_connections;
    }
  }
  return busy + 1 < lines && (may_open || idle_connections >= 2);
}

bool AgentConnections::MayOpen(const Asker& asker) const {
  unsigned trying = 0;
  const auto add = [&trying](const std::unique_ptr<Line>& line) {
    if (line && line->opening) ++trying;
  };
  for (const auto& line : own_) add(line);
  for (const auto& line : shared_) add(line);
  if (!admission_.MayOpen(loop_.now(), trying)) return false;
  const bool patient = Shared(asker.own_) && asker.manner_.rank != Rank::kOneOff;
  return !patient || away_.failures() == 0 || (away_.Due(loop_.now()) && trying == 0);
}

bool AgentConnections::Hopeless(const Asker& asker) const {
  if (MayOpen(asker)) return false;
  const auto alive = [](const std::unique_ptr<Line>& line) { return line && line->client.connected(); };
  if (!Shared(asker.own_) && alive(own_[static_cast<std::size_t>(asker.own_)])) return false;
  return (asker.manner_.waits && !Shared(asker.own_)) || std::none_of(shared_.begin(), shared_.end(), alive);
}

void AgentConnections::Begin(Asker* asker, Line* line) {
  asker->timer_.Stop();
  asker->line_ = line;
  line->asker = asker;
  line->rank = asker->manner_.rank;
  line->opening = !line->client.connected();
  line->idle.Stop();
  if (line->opening) line->answered = false;
  if (line->opening) line->admitted.Start(kAdmitted);
  http::Request request = std::move(asker->request_);
  if (asker->manner_.rank == Rank::kOneOff) {
    const auto waited = std::chrono::duration_cast<milliseconds>(loop_.now() - asker->asked_at_);
    request.deadline = std::max(request.deadline - waited, milliseconds(1));
  }
  line->client.Send(std::move(request),
                    [this, line](Result<http::Response> answer) { Ended(line, std::move(answer)); });
}

void AgentConnections::Ended(Line* line, Result<http::Response> answer) {
  line->admitted.Stop();
  Learn(line, answer, std::exchange(line->opening, false));
  if (!line->client.connected()) line->answered = false;
  // One that was for an upstream which is no more is not kept.
  const auto surplus = shared_.begin() + static_cast<std::ptrdiff_t>(std::min(SharedLines(), shared_.size()));
  const bool keep = std::none_of(surplus, shared_.end(), [line](const auto& one) { return one.get() == line; });
  line->idle.Start(keep ? kIdle : milliseconds(0));
  Asker* asker = std::exchange(line->asker, nullptr);
  if (asker != nullptr) {
    asker->line_ = nullptr;
    if (line->client.trouble() == Trouble::kTooMany ||
        (line->client.trouble() == Trouble::kUnanswered && admission_.Full())) {
      answer = Error{ErrorCode::kUnavailable, Admission::kFull};
    }
    const Asker::Callback callback = std::exchange(asker->callback_, nullptr);
    callback(std::move(answer));  // may destroy the asker
  } else if (answer) {
    tls::Cleanse(&answer->body);  // it may hold a private key
  }
  Dispatch();
}

void AgentConnections::Learn(Line* line, const Result<http::Response>& answer, bool was_new) {
  const net::MonotonicTime now = loop_.now();
  const Trouble trouble = line->client.trouble();
  if (trouble == Trouble::kTooMany || trouble == Trouble::kUnanswered) {
    const auto lives = [line](const std::unique_ptr<Line>& other) {
      return other && other.get() != line && other->answered && other->client.connected();
    };
    const bool others_live =
        std::any_of(own_.begin(), own_.end(), lives) || std::any_of(shared_.begin(), shared_.end(), lives);
    admission_.NoteTurnedAway(trouble, others_live, now);
  }
  if (answer) {
    line->answered = true;
    away_.Succeeded();
    silent_ = 0;
    if (was_new && trouble == Trouble::kNone) admission_.NoteAdmitted();
    return;
  }
  if (answer.error().code == ErrorCode::kInvalid) return;  // it was not sent
  last_loss_ = now;
  last_error_ = answer.error().message;
  if (trouble == Trouble::kSilent) ++silent_;
  const bool gone = trouble == Trouble::kUnreachable || silent_ >= kSilence;
  if (gone && away_.Due(now)) (void)away_.Failed(kRetryAway, now);
}

Asker::Asker(AgentConnections& connections, AgentConnections::Own own)
    : connections_(connections), own_(own), timer_(connections.loop_, [this] { OnTimer(); }) {}

Asker::~Asker() { Cancel(); }

void Asker::Send(http::Request request, Manner manner, Callback callback) {
  Cancel();
  request_ = std::move(request);
  manner_ = manner;
  callback_ = std::move(callback);
  asked_at_ = connections_.loop_.now();
  hopeless_.clear();
  if (manner_.rank == Rank::kOneOff) timer_.Start(request_.deadline);
  connections_.Submit(this);
}

void Asker::Cancel() {
  if (!busy()) return;
  connections_.Withdraw(this);
  timer_.Stop();
  callback_ = nullptr;
}

void Asker::OnTimer() {
  connections_.Withdraw(this);
  Error error{ErrorCode::kUnavailable, hopeless_};
  if (hopeless_.empty()) {
    error.message = "the connections to the agent were all in use for " + std::to_string(request_.deadline.count()) + " ms";
  }
  const Callback callback = std::exchange(callback_, nullptr);
  callback(std::move(error));
}

}  // namespace mooring::control
