// Watch: keeps one document of the agent's API up to date for one service. The one abstraction for
// all of them, and the one place where trust in an answer and staleness are decided.
//
// How it is asked, and how often, is a Question's (question.h), which those share who ask the same
// with the same token. A Watch is one who wants the answer: with its own Apply, its own document in
// its service's store, its own state for /status. An answer that it cannot use is asked for again,
// and harms no other. Failures never touch what was learnt before.
//
// The last good answer is kept by the Agent's store. After a restart it is taken up, by the same
// Apply, when the agent fails or lets its time pass (AgentLink::SavedFrom). Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "authz/result.h"
#include "proxy/control/agent.h"
#include "proxy/control/question.h"
#include "proxy/control/rewind.h"
#include "proxy/http/client.h"
#include "proxy/log/log.h"
#include "proxy/net/loop.h"
#include "proxy/net/retry_pause.h"

namespace mooring::control {

class Watch final : private Subscriber {
 public:
  using Blocking = Question::Blocking;
  struct Options {
    std::string name;   // in logs and /status
    std::string path;   // /v1/...
    std::string query;  // further parameters, encoded
    std::string method = "GET";
    std::string body;
    Blocking blocking = Blocking::kIndex;
    std::string needs;    // the permission that a 403 lacks, for messages: service:write on "web"
    bool keep = true;     // the last good answer is worth keeping on disk
    bool secret = false;  // it holds a private key
    // Answers that may be less than the truth: X-Consul-KnownLeader: false,
    // X-Consul-Results-Filtered-By-ACLs. kNever takes none (a list without its deny entries would
    // open doors), kInsteadOfNothing only while there is no better one. kUnmarked: the agent's
    // marks mean nothing here (Consul 1.8 denies the leader in every answer about roots, and its
    // own agent endpoints have no marks).
    enum class Partial { kUnmarked, kInsteadOfNothing, kNever };
    Partial partial = Partial::kUnmarked;
    // Whether an answer that may be older than what is in force has to wait until it is no server's
    // that has just started (rewind.h). It may be where its index is lower; where nothing numbers
    // them, after a failure, a start from disk, or Doubt, unless by Vouch. kWaitAfterFailure is for
    // an index that goes backwards at other times, too: of a numbered answer it asks for both.
    enum class Rewinds { kCount, kWaitAfterFailure, kWait };
    Rewinds rewinds = Rewinds::kCount;
    // IsAbsent: this answer, which is no 200, says that there is no such document. Then Apply gets
    // an empty body, which is kept.
    std::function<bool(const http::Response&)> is_absent;
    net::milliseconds poll_interval{1'000};  // without an index to wait on; 0: only on Refresh
    // At the agent a process that ended leaves its connections behind for this long.
    net::milliseconds wait{20'000};
    // What it is, if it is worth a connection of its own for its blocking query; kNone: it is not.
    AgentConnections::Own own = AgentConnections::Own::kNone;
    // Every token is told the same, or the content is not read: it is shared by all services, and
    // goes on with another's token when one is refused.
    bool any_token = false;
    // Set for an upstream: when it was in use last. It takes turns with the others in waiting for a
    // change.
    std::function<net::MonotonicTime()> last_used;
    // Set for what does as well when it is polled, of the agent's cache: whether it is worth a
    // connection that no upstream needs. Without one it is polled at poll_interval.
    std::function<bool()> spare;
  };
  // Apply takes a 200's body up, whole or not at all. An error means that it was not usable: it is
  // counted, logged once and asked for again later.
  using Apply = std::function<Status(const http::Response& response)>;

  struct State {
    enum class Phase { kStarting, kOk, kRetrying };
    // kPredecessor: the process whose place this one takes handed it over.
    enum class Source { kNone, kAgent, kDisk, kPredecessor };
    Phase phase = Phase::kStarting;
    Source source = Source::kNone;  // of what is in force
    // of what is in force: the agent's index or hash, empty if it gives none
    std::string version;
    std::uint64_t index = 0;
    std::uint64_t updates = 0;  // answers taken up
    std::uint64_t errors = 0;
    std::string last_error;                      // empty after an answer was taken up
    std::optional<net::MonotonicTime> fresh_at;  // when the agent last confirmed what is in force
    bool cached = false;                         // the last answer was the agent's cache's
    // the agent's last word was a no (403, 404, filtered by ACLs and not taken up): which one
    std::string refusal;
    bool filtered = false;  // what is in force came marked as filtered by ACLs

    // Earlier: what is in force was learnt by an earlier process.
    bool Earlier() const { return source == Source::kDisk || source == Source::kPredecessor; }
  };

  Watch(net::Loop& loop, log::Log& log, Agent& agent, Options options, Apply apply);
  ~Watch();  // also from inside its own callbacks
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  void Start();
  // Refresh asks at once, without waiting for a change; behind a question under way that does not
  // wait for one.
  void Refresh();
  // Stop asks no more until Start or Refresh. What was learnt stays.
  void Stop();
  // Of answers without an index something else may tell how old they are. Doubt: the servers may
  // have failed since the last one that was taken up. Vouch: what is asked from now on comes from
  // servers that know at least as much as before; until the next failure or Doubt.
  void Doubt();
  void Vouch() { vouched_at_ = loop_.now(); }
  // SetBody changes what a POST asks, from the next Refresh on.
  void SetBody(std::string body) { options_.body = std::move(body); }
  void SetPollInterval(net::milliseconds interval) { options_.poll_interval = interval; }
  // OnError is told of every failed try, after the state has been updated.
  void OnError(std::function<void(const Error&)> callback) { on_error_ = std::move(callback); }

  // TooOld: what is in force has not been confirmed for longer than max_stale. The one judge of
  // staleness.
  bool TooOld() const;
  // ConfirmedAt is when what is in force was last known to be what Consul's servers say; nothing:
  // not known. An answer of the agent's cache proves nothing about them: then it is when they last
  // answered any watch, or earlier.
  std::optional<net::MonotonicTime> ConfirmedAt() const;
  // AfterLoss: what is in force was learnt before a connection to the agent was lost; it may have
  // been restarted since.
  bool AfterLoss() const;
  // Blocks: it waits for a change by a blocking query; otherwise it is polled.
  bool Blocks() const {
    return question_ ? question_->Blocks() : options_.blocking != Blocking::kNone;
  }

  // UnansweredSince is when the question was asked that the agent owes an answer to; nothing: it
  // owes none, though it may be waiting for a change.
  std::optional<net::MonotonicTime> UnansweredSince() const {
    return question_ ? question_->UnansweredSince() : std::nullopt;
  }

  const State& state() const { return state_; }
  const std::string& name() const override { return options_.name; }
  const std::string& needs() const { return options_.needs; }
  // Refusal is the agent's no, with the permission that it needs where one is missing; empty: none.
  std::string Refusal() const;

 private:
  // Subscriber.
  Agent& agent() override { return agent_; }
  bool Knows() const override { return state_.source != State::Source::kNone; }
  net::milliseconds poll_interval() const override { return options_.poll_interval; }
  const std::function<net::MonotonicTime()>& last_used() const override {
    return options_.last_used;
  }
  const std::function<bool()>& spare() const override { return options_.spare; }
  bool IsAbsent(const http::Response& response) override {
    return options_.is_absent && options_.is_absent(response);
  }
  Status Take(const http::Response& response, const Subscriber::Facts& facts) override;
  void OnFailed(const Subscriber::Failure& failure) override;
  void OnCutShort(bool alone) noexcept override;
  void Move() override;

  Question::What What() const;
  // Enter joins the question. True: it is asked at once for that.
  bool Enter();
  // OrRetry: what is cut short for want of memory is tried again, by Refresh; the exception goes
  // on.
  void OrRetry(const std::function<void()>& act);
  void Leave();
  void Confirm(const http::Response& response, const Subscriber::Facts& facts);
  std::optional<Error> Distrust(const http::Response& response);
  std::optional<Error> DistrustRewind(const http::Response& response,
                                      const Subscriber::Facts& facts);
  bool MayBeOlder(const http::Response& response, const Subscriber::Facts& facts) const;
  std::string MissesPermission();
  void Keep(const http::Response& response);
  void Restore();
  void RetryAlone() noexcept;
  void SayFailed(const Error& error, bool news);
  void SayRefused(const Error& error);
  void SayFiltered();
  std::string AskedWith();

  net::Loop& loop_;
  log::Log& log_;
  Agent& agent_;
  Options options_;
  const std::shared_ptr<const Apply> apply_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::optional<state::Store::Ticket> ticket_;  // none: not kept
  std::function<void(const Error&)> on_error_;
  std::shared_ptr<Question> question_;  // null: at rest
  net::Timer restore_;
  bool restore_armed_ = false;
  // for this one alone: of an answer that the others could use, or of what was cut short
  net::Timer retry_;
  net::RetryPause pause_;
  std::optional<net::MonotonicTime> refusal_said_at_;
  Rewind rewind_;
  bool doubted_ = false;
  std::optional<net::MonotonicTime> vouched_at_;
  bool not_yet_ = false;  // the failure that is told next is DistrustRewind's
  bool leaderless_said_ = false;
  bool failure_said_ = false;
  State state_;
  std::size_t body_hash_ = 0;                      // of the last answer taken up
  std::optional<net::MonotonicTime> answered_at_;  // when that came
};

}  // namespace mooring::control
