// Watch: keeps one document of the agent's API up to date by blocking queries. The one abstraction for all
// of them, and the one place where retries, rate and staleness are decided.
//
// Rules of the protocol (consul's blocking queries): the index of an answer goes into the next request; an
// index that went backwards starts again without one; an index of 0 or none cannot be waited on, so the
// document is polled; a return does not mean a change. Failures are retried with jittered backoff, 250 ms
// to 10 s, and never touch what was learnt before. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "authz/result.h"
#include "proxy/control/agent.h"
#include "proxy/http/client.h"
#include "proxy/log/log.h"
#include "proxy/net/loop.h"

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
    net::milliseconds poll_interval{1'000};  // without an index to wait on; 0: only on Refresh
    net::milliseconds wait{60'000};
  };
  // Apply takes a 200's body up, whole or not at all. An error means that it was not usable: it is
  // counted, logged once and asked for again later.
  using Apply = std::function<Status(const http::Response& response)>;

  struct State {
    enum class Phase { kStarting, kOk, kRetrying };
    Phase phase = Phase::kStarting;
    std::uint64_t index = 0;
    std::uint64_t updates = 0;  // answers taken up
    std::uint64_t errors = 0;
    std::string last_error;     // empty after an answer was taken up
    std::optional<ErrorCode> last_code;
    std::optional<net::MonotonicTime> fresh_at;  // when the last answer was taken up
    bool can_wait = true;       // false: the agent gives no index for this document
  };

  Watch(net::Loop& loop, log::Log& log, Agent& agent, Options options, Apply apply);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  void Start();
  // Refresh asks at once, without waiting for a change.
  void Refresh();
  // SetBody changes what a polled POST asks, from the next request on.
  void SetBody(std::string body) { options_.body = std::move(body); }
  void SetPollInterval(net::milliseconds interval) { options_.poll_interval = interval; }
  // OnError is told of every failed try, after the state has been updated.
  void OnError(std::function<void(const Error&)> callback) { on_error_ = std::move(callback); }

  const State& state() const { return state_; }
  const std::string& name() const { return options_.name; }

 private:
  void Send();
  void OnAnswer(Result<http::Response> answer);
  void Succeed(const http::Response& response);
  void Fail(const Error& error, net::milliseconds at_least);
  net::milliseconds Backoff();

  net::Loop& loop_;
  log::Log& log_;
  Agent& agent_;
  Options options_;
  const Apply apply_;
  std::function<void(const Error&)> on_error_;
  std::unique_ptr<http::Client> client_;
  net::Timer timer_;
  State state_;
  std::string hash_;
  std::uint64_t sent_index_ = 0;
  net::MonotonicTime sent_at_{};
  bool refresh_wanted_ = false;
  unsigned failures_ = 0;  // in a row
  double allowance_ = 0;   // token bucket of immediate re-asks
  net::MonotonicTime allowance_at_{};
  std::minstd_rand random_;
};

}  // namespace mooring::control
