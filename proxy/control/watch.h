// Watch: keeps one document of the agent's API up to date, by blocking queries or, where connections are short
// (agent_connections.h), by polls. The one abstraction for all of them, and the one place where rate, trust in an
// answer and staleness are decided. Pauses are net/retry_pause.h's, here as everywhere.
//
// Rules of the protocol (consul's blocking queries): the index of an answer goes into the next request; an
// index that went backwards starts again without one; an index of 0 or none cannot be waited on, so the
// document is polled; a return does not mean a change. Failures are retried after 250 ms at first and 8 s at
// last, and at once when the agent answers somebody else again; they never touch what was learnt before.
//
// The last good answer is kept by the Agent's store. After a restart it is taken up, by the same Apply, when the
// agent fails or lets its time pass (Agent::SavedFrom). Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "authz/result.h"
#include "proxy/control/agent.h"
#include "proxy/http/client.h"
#include "proxy/log/log.h"
#include "proxy/net/loop.h"
#include "proxy/net/retry_pause.h"

namespace mooring::control {

class Watch final {
 public:
  enum class Blocking {
    kIndex,  // X-Consul-Index and ?index=
    kHash,   // X-Consul-ContentHash and ?hash=
    kNone,   // polled every poll_interval
  };
  struct Options {
    std::string name;  // in logs and /status
    std::string path;  // /v1/...
    std::string query;  // further parameters, encoded
    std::string method = "GET";
    std::string body;
    Blocking blocking = Blocking::kIndex;
    std::string needs;    // the permission that a 403 lacks, for messages: service:write on "web"
    bool keep = true;     // the last good answer is worth keeping on disk
    bool secret = false;  // it holds a private key
    // Answers that may be less than the truth: X-Consul-KnownLeader: false, X-Consul-Results-Filtered-By-ACLs.
    // kNever takes none (a list without its deny entries would open doors), kInsteadOfNothing only while there is
    // no better one. kUnmarked: the agent's marks mean nothing here (Consul 1.8 denies the leader in every answer
    // about roots, and its own agent endpoints have no marks).
    enum class Partial { kUnmarked, kInsteadOfNothing, kNever };
    Partial partial = Partial::kUnmarked;
    // IsAbsent: this answer, which is no 200, says that there is no such document. Then Apply gets an empty body, which is kept.
    std::function<bool(const http::Response&)> is_absent;
    net::milliseconds poll_interval{1'000};  // without an index to wait on; 0: only on Refresh
    // At the agent a process that ended leaves its connections behind for this long.
    net::milliseconds wait{20'000};
    // A connection of its own, for its blocking query; kNone: one of those that are shared.
    AgentConnections::Own own = AgentConnections::Own::kNone;
    // Set for an upstream: when it was in use last. It takes turns with the others in waiting for a change.
    std::function<net::MonotonicTime()> last_used;
  };
  // Apply takes a 200's body up, whole or not at all. An error means that it was not usable: it is
  // counted, logged once and asked for again later.
  using Apply = std::function<Status(const http::Response& response)>;

  struct State {
    enum class Phase { kStarting, kOk, kRetrying };
    enum class Source { kNone, kAgent, kDisk };
    Phase phase = Phase::kStarting;
    Source source = Source::kNone;  // of what is in force
    std::string version;            // of what is in force: the agent's index or hash, empty if it gives none
    std::uint64_t index = 0;
    std::uint64_t updates = 0;  // answers taken up
    std::uint64_t errors = 0;
    std::string last_error;     // empty after an answer was taken up
    std::optional<net::MonotonicTime> fresh_at;  // when the agent last confirmed what is in force
    bool can_wait = true;       // false: the agent gives no index for this document
    bool polled = false;        // asked in turn, for want of a connection to wait on
    bool cached = false;        // the last answer was the agent's cache's
    std::string refusal;    // the agent's last word was a no (403, 404, filtered by ACLs and not taken up): which one
    bool filtered = false;  // what is in force came marked as filtered by ACLs
  };

  Watch(net::Loop& loop, log::Log& log, Agent& agent, Options options, Apply apply);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  void Start();
  // Refresh asks at once, without waiting for a change; behind a question under way that does not wait for one.
  void Refresh();
  // Stop asks no more until Start or Refresh. What was learnt stays.
  void Stop();
  // SetBody changes what a polled POST asks, from the next request on.
  void SetBody(std::string body) { options_.body = std::move(body); }
  void SetPollInterval(net::milliseconds interval) { options_.poll_interval = interval; }
  // OnError is told of every failed try, after the state has been updated.
  void OnError(std::function<void(const Error&)> callback) { on_error_ = std::move(callback); }

  // TooOld: what is in force has not been confirmed for longer than max_stale. The one judge of staleness.
  bool TooOld() const;
  // ConfirmedAt is when what is in force was last known to be what Consul's servers say; nothing: not known. An answer of
  // the agent's cache proves nothing about them: then it is when they last answered any watch, or earlier.
  std::optional<net::MonotonicTime> ConfirmedAt() const;
  // AfterLoss: what is in force was learnt before a connection to the agent was lost; it may have been restarted since.
  bool AfterLoss() const;
  // Blocks: it waits for a change by a blocking query; otherwise it is polled.
  bool Blocks() const { return options_.blocking != Blocking::kNone && state_.can_wait && !state_.polled; }

  const State& state() const { return state_; }
  const std::string& name() const { return options_.name; }
  const std::string& needs() const { return options_.needs; }

 private:
  http::Request NewQuestion(bool waits, bool cached);
  void AskAside();
  void TakeAside(Result<http::Response> answer);
  // IsBehind: an answer of the agent's cache is older than what is in force, or of another life of the agent.
  bool IsBehind(const http::Response& response);
  void Keep(const http::Response& response);
  void Next(bool unmoved);
  void Send() noexcept;
  void Ask();
  void CutShort() noexcept;
  void Restore();
  std::optional<Error> Distrust(const http::Response& response);
  void SayRefused(const Error& error);
  void SayFiltered();
  void OnAnswer(Result<http::Response> answer);
  void Succeed(const http::Response& response, bool behind);
  void Fail(const Error& error, net::milliseconds at_least);

  net::Loop& loop_;
  log::Log& log_;
  Agent& agent_;
  Options options_;
  const Apply apply_;
  const std::string document_;                  // its name in the store
  std::optional<state::Store::Ticket> ticket_;  // none: not kept
  std::function<void(const Error&)> on_error_;
  std::optional<Turns::Player> player_;  // none: it takes no turns
  std::unique_ptr<Asker> asker_;
  std::unique_ptr<Asker> aside_;  // for a question beside a blocking query
  net::Timer timer_;
  net::Timer restore_;
  bool restore_armed_ = false;
  std::optional<net::MonotonicTime> refusal_said_at_;
  State state_;
  std::string hash_;
  std::uint64_t sent_index_ = 0;
  net::MonotonicTime sent_at_{};
  bool refresh_wanted_ = false;
  bool blocking_ = false;  // the question under way
  net::milliseconds wait_{0};  // that it asks for, if it is
  WaitLimit::Cuts cuts_;
  bool cached_ = false;    // the question under way is for the agent's cache
  bool absent_ = false;    // the answer under way says that there is no such document
  bool verify_ = false;    // the next one is not: what the servers say decides
  std::uint64_t cached_index_ = 0;  // a cached answer of this index, though it is behind, is known to be no news
  std::uint64_t behind_index_ = 0;  // that of the answer which made us verify
  bool polled_before_ = false;
  unsigned seat_tries_ = 0;
  std::size_t body_hash_ = 0;       // of the last answer taken up
  std::optional<net::MonotonicTime> answered_at_;  // when that was
  net::RetryPause pause_;
  double allowance_ = 0;   // token bucket of immediate re-asks
  net::MonotonicTime allowance_at_{};
};

}  // namespace mooring::control
