#include "proxy/control/agent_connections.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <utility>

#include "proxy/control/agent_front.h"
#include "tls/cleanse.h"

namespace mooring::control {
namespace {

using net::milliseconds;
using Rank = Asker::Rank;
using Trouble = http::Client::Trouble;

// Longer than the pause between two heartbeats, which are to keep their connection when the agent
// admits no new ones.
constexpr milliseconds kIdle{15'000};
constexpr milliseconds kAdmitted{1'000};  // who is turned away learns it at once
constexpr net::RetryPause::Bounds kRetryAway{milliseconds(250), milliseconds(8'000)};
// so many late answers in a row are an agent that hangs; one is a slow document
constexpr unsigned kSilence = 3;

// Advise adds to an error what may be done about it, where there is memory for that.
void Advise(Result<http::Response>* answer, Trouble trouble, bool https) noexcept {
  if (*answer) return;
  try {
    *answer = Error{answer->error().code, answer->error().message + CureOf(trouble, https)};
  } catch (...) {  // the error alone
  }
}

// RefuseUnusable makes an answer that nobody can use an error.
void RefuseUnusable(Result<http::Response>* answer) noexcept {
  if (!*answer) return;
  Error error{ErrorCode::kUnavailable, "out of memory"};  // short enough to need none
  try {
    auto unusable = Unusable(**answer);
    if (!unusable) return;
    error = *std::move(unusable);
  } catch (...) {
  }
  tls::Cleanse(&(*answer)->body);
  *answer = std::move(error);
}

constexpr std::array kRanks{Rank::kOneOff, Rank::kFirst, Rank::kPoll, Rank::kRetry};

}  // namespace

struct AgentConnections::Line {
  Line(AgentConnections& owner, net::Loop& loop, const http::Endpoint& endpoint)
      : client(loop, endpoint),
        idle(loop, [this] { client.CloseIdle(); }),
        admitted(loop, [this, &owner] {
          if (!client.connected()) return;
          opening = false;
          owner.admission_.NoteAdmitted();
          owner.Dispatch();
        }) {}
  bool Idle() const { return !client.busy(); }

  http::Client client;
  net::Timer idle;  // a connection that nobody uses is closed
  // a new one is not turned away any more, even if its answer is slow or waits for a change
  net::Timer admitted;
  Asker* asker = nullptr;  // null while busy: it has given up
  Rank rank = Rank::kOneOff;
  http::Request request;  // that is under way
  bool opening = false;   // the request under way began a connection
  bool answered = false;  // the connection has carried an answer
};

AgentConnections::AgentConnections(net::Loop& loop, http::Endpoint endpoint, unsigned of_one)
    : loop_(loop), endpoint_(std::move(endpoint)), budget_(of_one), turns_(budget_.seats()) {}

AgentConnections::~AgentConnections() = default;

void AgentConnections::AddService() {
  budget_.AddService();
  turns_.SetSeats(budget_.seats());
}

void AgentConnections::RemoveService() {
  budget_.RemoveService();
  turns_.SetSeats(budget_.seats());
}

void AgentConnections::Claim(Own own) {
  budget_.Claim(own);
  turns_.SetSeats(budget_.seats());
}

void AgentConnections::Release(Own own) {
  budget_.Release(own);
  turns_.SetSeats(budget_.seats());
}

bool AgentConnections::HasOwn(const Asker& asker) const {
  return asker.claims_ && budget_.Grants(asker.own_);
}

std::size_t AgentConnections::SharedLines() const {
  return budget_.shared() + std::min(turns_.Wanted(), turns_.seats());
}

std::size_t AgentConnections::open() const {
  std::size_t count = 0;
  const auto add = [&count](const std::unique_ptr<Line>& line) {
    if (line->client.connected() || line->client.busy()) ++count;
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
    asker->hopeless_ = admission_.Full() ? Admission::kFull : last_error_;
    it = queue_.erase(it);
    asker->timer_.Start(milliseconds(0));
  }
}

AgentConnections::Line* AgentConnections::Find(const Asker& asker) {
  if (HasOwn(asker)) {
    if (Line* own = FindOwn(asker)) return own;
    // Where none is to be had, a short one goes with the others.
    if (asker.manner_.waits) return nullptr;
  }
  return FindShared(asker);
}

AgentConnections::Line* AgentConnections::FindOwn(const Asker& asker) {
  for (const auto& line : own_) {
    if (line->Idle() && line->client.connected()) return line.get();
  }
  // Those that are busy for somebody who has given up, or has no claim any more, are none for who
  // has one; but they are connections.
  if (!MayOpen(asker) || open() >= limit()) return nullptr;
  for (const auto& line : own_) {
    if (line->Idle()) return line.get();
  }
  return NewLine(&own_);
}

AgentConnections::Line* AgentConnections::NewLine(std::vector<std::unique_ptr<Line>>* lines) {
  lines->push_back(std::make_unique<Line>(*this, loop_, endpoint_));
  return lines->back().get();
}

AgentConnections::Line* AgentConnections::FindShared(const Asker& asker) {
  if (asker.manner_.waits && !CanWait(asker)) return nullptr;
  std::size_t retries = 0;
  for (const auto& line : shared_) retries += !line->Idle() && line->rank == Rank::kRetry ? 1u : 0u;
  // Documents that fail may fail slowly, and must leave room for the others.
  const std::size_t lines = SharedLines();
  if (asker.manner_.rank == Rank::kRetry && retries >= std::max<std::size_t>(lines / 2, 1))
    return nullptr;
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
  if (!MayOpen(asker) || open() >= limit()) return nullptr;
  return unopened == nullptr && shared_.size() < lines ? NewLine(&shared_) : unopened;
}

bool AgentConnections::CanWait(const Asker& asker) const {
  const bool may_open = MayOpen(asker) && open() < limit();
  if (HasOwn(asker)) {
    return may_open || std::any_of(own_.begin(), own_.end(), [](const auto& line) {
             return line->Idle() && line->client.connected();
           });
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
    if (line->opening) ++trying;
  };
  for (const auto& line : own_) add(line);
  for (const auto& line : shared_) add(line);
  if (!admission_.MayOpen(loop_.now(), trying)) return false;
  const bool patient = !HasOwn(asker) && asker.manner_.rank != Rank::kOneOff;
  return !patient || away_.failures() == 0 || (away_.Due(loop_.now()) && trying == 0);
}

bool AgentConnections::Hopeless(const Asker& asker) const {
  if (MayOpen(asker)) return false;
  const auto alive = [](const std::unique_ptr<Line>& line) { return line->client.connected(); };
  if (!HasOwn(asker)) return std::none_of(shared_.begin(), shared_.end(), alive);
  if (std::any_of(own_.begin(), own_.end(),
                  [](const auto& line) { return line->client.connected() && line->Idle(); }))
    return false;
  return asker.manner_.waits || std::none_of(shared_.begin(), shared_.end(), alive);
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
  Transmit(line, std::move(request));
}

void AgentConnections::Transmit(Line* line, http::Request request) {
  line->request = request;
  line->client.Send(std::move(request), [this, line](Result<http::Response> answer) {
    if (const auto token = line->request.headers.find("x-consul-token");
        token != line->request.headers.end())
      tls::Cleanse(&token->second);
    line->request = {};
    Ended(line, std::move(answer));
  });
}

void AgentConnections::SetEndpoint(http::Endpoint endpoint) {
  endpoint_ = std::move(endpoint);
  // What was learnt of the one before says nothing of this one.
  admission_ = Admission();
  away_.Succeeded();
  silent_ = 0;
  for (auto* lines : {&own_, &shared_}) {
    for (const auto& line : *lines) {
      const bool busy = line->client.busy();
      line->client.Cancel();
      line->client.SetEndpoint(endpoint_);
      line->answered = false;
      line->opening = busy && line->asker != nullptr;
      if (line->opening) {
        line->admitted.Start(kAdmitted);
        Transmit(line.get(), http::Request(line->request));
      } else {
        line->admitted.Stop();
      }
    }
  }
  Dispatch();
}

void AgentConnections::Ended(Line* line, Result<http::Response> answer) {
  line->admitted.Stop();
  Advise(&answer, line->client.trouble(), endpoint_.https != nullptr);
  Learn(line, answer, std::exchange(line->opening, false));
  if (!line->client.connected()) line->answered = false;
  line->idle.Start(Surplus(line) ? milliseconds(0) : kIdle);
  Asker* asker = std::exchange(line->asker, nullptr);
  std::exception_ptr escaped;  // what is queued goes on all the same
  if (asker != nullptr) {
    asker->line_ = nullptr;
    if (line->client.trouble() == Trouble::kTooMany ||
        (line->client.trouble() == Trouble::kUnanswered && admission_.Full())) {
      answer = Error{ErrorCode::kUnavailable, Admission::kFull};
    }
    RefuseUnusable(&answer);
    const Asker::Callback callback = std::exchange(asker->callback_, nullptr);
    try {
      callback(std::move(answer));  // may destroy the asker
    } catch (...) {
      escaped = std::current_exception();
    }
  } else if (answer) {
    tls::Cleanse(&answer->body);  // it may hold a private key
  }
  Dispatch();
  if (escaped) std::rethrow_exception(escaped);
}

// Surplus: it was for somebody who is no more, or who shares one now.
bool AgentConnections::Surplus(const Line* line) const {
  const auto is_it = [line](const auto& one) { return one.get() == line; };
  if (std::any_of(own_.begin(), own_.end(), is_it)) {
    const auto connected = std::count_if(own_.begin(), own_.end(),
                                         [](const auto& one) { return one->client.connected(); });
    return static_cast<std::size_t>(connected) > budget_.own();
  }
  const auto kept =
      shared_.begin() + static_cast<std::ptrdiff_t>(std::min(SharedLines(), shared_.size()));
  return std::none_of(shared_.begin(), kept, is_it);
}

void AgentConnections::Learn(Line* line, const Result<http::Response>& answer, bool was_new) {
  const net::MonotonicTime now = loop_.now();
  const Trouble trouble = line->client.trouble();
  if (trouble == Trouble::kTooMany || trouble == Trouble::kUnanswered) {
    const auto lives = [line](const std::unique_ptr<Line>& other) {
      return other.get() != line && other->answered && other->client.connected();
    };
    const bool others_live = std::any_of(own_.begin(), own_.end(), lives) ||
                             std::any_of(shared_.begin(), shared_.end(), lives);
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
  const bool gone =
      trouble == Trouble::kUnreachable || trouble == Trouble::kNoTls || silent_ >= kSilence;
  if (gone && away_.Due(now)) (void)away_.Failed(kRetryAway, now);
}

Asker::Asker(AgentConnections& connections, AgentConnections::Own own)
    : connections_(connections), own_(own), timer_(connections.loop_, [this] { OnTimer(); }) {}

Asker::~Asker() {
  Cancel();
  Claim(false);
  tls::Cleanse(&asked_with_);
}

void Asker::Claim(bool wanted) {
  if (own_ == AgentConnections::Own::kNone || wanted == claims_) return;
  claims_ = wanted;
  wanted ? connections_.Claim(own_) : connections_.Release(own_);
}

void Asker::Send(http::Request request, Manner manner, Callback callback) {
  Cancel();
  const auto token = request.headers.find("x-consul-token");
  asked_with_ = token != request.headers.end() ? token->second : std::string();
  request_ = std::move(request);
  manner_ = manner;
  callback_ = std::move(callback);
  asked_at_ = connections_.loop_.now();
  hopeless_.clear();
  if (manner_.rank == Rank::kOneOff) timer_.Start(request_.deadline);
  try {
    connections_.Submit(this);
  } catch (...) {
    Cancel();
    throw;
  }
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
    error.message = "the connections to the agent were all in use for " +
                    std::to_string(request_.deadline.count()) + " ms";
  }
  const Callback callback = std::exchange(callback_, nullptr);
  callback(std::move(error));
}

}  // namespace mooring::control
