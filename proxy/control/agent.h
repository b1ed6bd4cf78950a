// Agent: how this process speaks to its local Consul agent: address, TLS, token, common query parameters.
//
// Makes requests, which their users send by an Asker made by NewAsker. The token file is looked at again for every request and read when it has changed, so a rotated token is in force with the
// next one. Also what all watches share: the store of the last good answers, the limit of staleness, and the
// word that the agent is back. Loop thread only.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "authz/result.h"
#include "proxy/config/file.h"
#include "proxy/config/settings.h"
#include "proxy/control/agent_connections.h"
#include "proxy/control/clock_check.h"
#include "proxy/control/wait_limit.h"
#include "proxy/http/client.h"
#include "proxy/log/log.h"
#include "proxy/state/store.h"

namespace mooring::control {

class Agent final {
 public:
  // Make reads the token file and the TLS files; an unreadable one is an error that names it.
  static Result<std::unique_ptr<Agent>> Make(net::Loop& loop, log::Log& log,
                                             const config::AgentSettings& settings);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  std::unique_ptr<Asker> NewAsker(AgentConnections::Own own = AgentConnections::Own::kNone) {
    return std::make_unique<Asker>(*connections_, own);
  }
  AgentConnections& connections() { return *connections_; }
  const AgentConnections& connections() const { return *connections_; }

  // NewRequest fills in token, prefix and common parameters. `path` starts with /v1; `query` is already
  // encoded, without the question mark, and may be empty.
  http::Request NewRequest(std::string_view method, std::string_view path, std::string_view query);

  // UseStore gives watches a place to keep good answers, and to find those of an earlier run; before the first
  // watch is made. The store must outlive them.
  void UseStore(state::Store* store) { store_ = store; }
  state::Store* store() const { return store_; }
  // SavedFrom is when a watch that asks for the first time now may use its saved answer, should the agent not have
  // failed before: 300 ms after the start, or, if the agent has answered anybody since, 300 ms from now.
  net::MonotonicTime SavedFrom() const;
  void NoteAnswer(const http::Response& response);
  // ClockOff: by how much our clock is ahead of the agent's, where that is worth a word; negative: behind.
  std::optional<std::chrono::seconds> clock_off() const { return clock_.off(); }

  // NoteCut: a blocking query that asked for `asked` ended after `waited` without an answer. WaitOf is what to ask for instead.
  void NoteCut(WaitLimit::Cuts& cuts, net::milliseconds waited, net::milliseconds asked, bool by_gateway);
  net::milliseconds WaitOf(net::milliseconds wanted) const { return wait_limit_.Of(wanted); }

  // NoteServers: Consul's servers have answered, not this agent's cache. ServersSeen is when they last did.
  void NoteServers() { servers_seen_ = loop_.now(); }
  std::optional<net::MonotonicTime> ServersSeen() const { return servers_seen_; }

  void SetMaxStale(net::milliseconds limit) { max_stale_ = limit; }
  net::milliseconds max_stale() const { return max_stale_; }  // 0: no limit

  // CallWhenBack runs `call` once, after the event in which somebody says that the agent answers again.
  void CallWhenBack(const void* who, std::function<void()> call);
  void ForgetWaiting(const void* who) { waiting_.erase(who); }
  void SayBack();

  // Stale: the operator lets any server answer, not the leader alone (-stale); for discovery only.
  bool stale() const { return settings_.stale; }

  // Name says where the agent is, for messages: "http://127.0.0.1:8500".
  const std::string& name() const { return name_; }
  // TokenName says which token is in use, never the token: "the token of /etc/mooring/token", "no token".
  std::string TokenName() const;
  // Blot replaces our token in a text of the agent's, which may repeat what it was asked with.
  std::string Blot(std::string text) const;
  // NameToken calls back with the token's accessor ID, if the agent tells it, else with TokenName; perhaps at once.
  // Nothing is called after this object's end.
  void NameToken(std::function<void(const std::string&)> callback);

 private:
  Agent(net::Loop& loop, log::Log& log, const config::AgentSettings& settings);
  Status ReadTokenFile();
  void RereadTokenFile();

  net::Loop& loop_;
  log::Log& log_;
  const config::AgentSettings settings_;
  const net::MonotonicTime started_at_;
  std::string name_;
  std::string file_token_;
  config::FileLook file_look_;  // what the token file looked like when it was read
  bool file_error_said_ = false;
  state::Store* store_ = nullptr;
  bool has_answered_ = false;
  ClockCheck clock_;
  WaitLimit wait_limit_;
  net::milliseconds max_stale_{0};
  std::map<const void*, std::function<void()>> waiting_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::optional<net::MonotonicTime> servers_seen_;
  std::unique_ptr<AgentConnections> connections_;
  std::unique_ptr<Asker> accessor_asker_;  // of connections_, so destroyed before it
  std::vector<std::function<void(const std::string&)>> wanting_name_;
};

// UrlEncode percent-encodes one query value or path segment (RFC 3986 2.3: all but unreserved).
std::string UrlEncode(std::string_view text);

// Explain turns an answer that is not 200 into an error with its likely cause: 403 names the token and the
// permission, `what` says what was asked for.
Error Explain(const http::Response& response, const Agent& agent, std::string_view what);

}  // namespace mooring::control
