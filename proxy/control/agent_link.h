// AgentLink: this process's way to its local Consul agent: address, TLS, connections, and what its
// answers say of the agent itself. One for all services of the process; what is one service's, its
// token and its store, is an Agent's (agent.h).
//
// What all who ask share: whether the agent has answered, how its clock differs, how long it lets a
// question wait, when Consul's servers were last heard, and the word that it is back. Loop thread
// only.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "authz/result.h"
#include "proxy/config/settings.h"
#include "proxy/control/agent_connections.h"
#include "proxy/control/clock_check.h"
#include "proxy/control/token.h"
#include "proxy/control/wait_limit.h"
#include "proxy/http/client.h"
#include "proxy/log/log.h"
#include "proxy/net/loop.h"

namespace mooring::control {

class AgentLink final {
 public:
  // Make reads the TLS files; an unreadable one is an error that names it. The token of `settings`
  // is not looked at.
  static Result<std::unique_ptr<AgentLink>> Make(net::Loop& loop, log::Log& log,
                                                 const config::AgentSettings& settings);
  ~AgentLink();  // all Agents must be gone
  AgentLink(const AgentLink&) = delete;
  AgentLink& operator=(const AgentLink&) = delete;

  net::Loop& loop() { return loop_; }
  log::Log& log() { return log_; }
  AgentConnections& connections() { return *connections_; }
  const AgentConnections& connections() const { return *connections_; }

  // TokenOf reads the token file, unless somebody here has it already; an unreadable one is an
  // error that names it.
  Result<std::shared_ptr<Token>> TokenOf(const Token::Origin& origin);

  // NewRequest fills in prefix and common parameters, and the token of that secret. `path` starts
  // with /v1; `query` is already encoded, without the question mark, and may be empty.
  http::Request NewRequest(std::string_view method, std::string_view path, std::string_view query,
                           const std::string& secret) const;

  // FollowFeed asks a newer generation of this sidecar, at that unix socket, instead of the agent
  // (feeder.h); AskAgent goes back to the agent.
  void FollowFeed(const std::string& path);
  void AskAgent();
  bool fed() const { return fed_; }

  // attachment is what asks over the link together (questions.h); empty until somebody fills it.
  std::unique_ptr<net::Attachment>& attachment() { return attachment_; }

  // SavedFrom is when a watch that asks for the first time now may use its saved answer, should the
  // agent not have failed before: 300 ms after the start, or, if the agent has answered anybody
  // since, 300 ms from now.
  net::MonotonicTime SavedFrom() const;
  void NoteAnswer(const http::Response& response);
  // ClockOff: by how much our clock is ahead of the agent's, where that is worth a word; negative:
  // behind.
  std::optional<std::chrono::seconds> clock_off() const { return clock_.off(); }

  // NoteCut: a blocking query that asked for `asked` ended after `waited` without an answer. WaitOf
  // is what to ask for instead.
  void NoteCut(WaitLimit::Cuts& cuts, net::milliseconds waited, net::milliseconds asked,
               bool by_gateway);
  net::milliseconds WaitOf(net::milliseconds wanted) const { return wait_limit_.Of(wanted); }

  // NoteServers: Consul's servers have answered, not this agent's cache. ServersSeen is when they
  // last did.
  void NoteServers() { servers_seen_ = loop_.now(); }
  std::optional<net::MonotonicTime> ServersSeen() const { return servers_seen_; }
  // HasReachedLeader: they have answered this agent, or it knows who leads them, and no connection
  // to it has been lost since, so it is not one that has just started.
  bool HasReachedLeader() const {
    return std::max(servers_seen_, leader_seen_) > connections_->last_loss();
  }
  void NoteLeader() { leader_seen_ = loop_.now(); }  // the agent has named it

  // CallWhenBack runs `call` once, after the event in which somebody says that the agent answers
  // again.
  void CallWhenBack(const void* who, std::function<void()> call);
  void ForgetWaiting(const void* who) { waiting_.erase(who); }
  void SayBack();

  // Stale: the operator lets any server answer, not the leader alone (-stale); for discovery only.
  bool stale() const { return settings_.stale; }
  // Name says where the agent is, for messages: "http://127.0.0.1:8500".
  const std::string& name() const { return name_; }

 private:
  AgentLink(net::Loop& loop, log::Log& log, const config::AgentSettings& settings);

  net::Loop& loop_;
  log::Log& log_;
  const config::AgentSettings settings_;  // but its token and token file, which are empty here
  const net::MonotonicTime started_at_;
  const std::string name_;
  http::Endpoint agent_;
  bool fed_ = false;
  bool has_answered_ = false;
  ClockCheck clock_;
  WaitLimit wait_limit_;
  std::optional<net::MonotonicTime> servers_seen_;
  std::optional<net::MonotonicTime> leader_seen_;
  std::map<const void*, std::function<void()>> waiting_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::vector<std::weak_ptr<Token>> tokens_;
  std::unique_ptr<AgentConnections> connections_;
  std::unique_ptr<net::Attachment> attachment_;
};

}  // namespace mooring::control
