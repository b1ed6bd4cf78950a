// Agent: how this process speaks to its local Consul agent: address, TLS, token, common query parameters.
//
// Makes requests; sends none itself (each user owns an http::Client made by NewClient). The token file is
// looked at again for every request and read when it has changed, so a rotated token is in force with the
// next one. Loop thread only.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "authz/result.h"
#include "proxy/config/file.h"
#include "proxy/config/settings.h"
#include "proxy/http/client.h"
#include "proxy/log/log.h"

namespace mooring::control {

class Agent final {
 public:
  // Make reads the token file and the TLS files; an unreadable one is an error that names it.
  static Result<std::unique_ptr<Agent>> Make(net::Loop& loop, log::Log& log,
                                             const config::AgentSettings& settings);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  std::unique_ptr<http::Client> NewClient() const;

  // NewRequest fills in token, prefix and common parameters. `path` starts with /v1; `query` is already
  // encoded, without the question mark, and may be empty.
  http::Request NewRequest(std::string_view method, std::string_view path, std::string_view query);

  // Stale: the operator lets any server answer, not the leader alone (-stale); for discovery only.
  bool stale() const { return settings_.stale; }

  // Name says where the agent is, for messages: "http://127.0.0.1:8500".
  const std::string& name() const { return name_; }
  // TokenName says which token is in use, never the token: "the token of /etc/mooring/token", "no token".
  std::string TokenName() const;

 private:
  Agent(net::Loop& loop, log::Log& log, const config::AgentSettings& settings);
  Status ReadTokenFile();
  void RereadTokenFile();

  net::Loop& loop_;
  log::Log& log_;
  const config::AgentSettings settings_;
  std::string name_;
  http::Endpoint endpoint_;
  std::string file_token_;
  config::FileLook file_look_;  // what the token file looked like when it was read
  bool file_error_said_ = false;
};

// UrlEncode percent-encodes one query value or path segment (RFC 3986 2.3: all but unreserved).
std::string UrlEncode(std::string_view text);

// Explain turns an answer that is not 200 into an error with its likely cause: 403 names the token and the
// permission, `what` says what was asked for.
Error Explain(const http::Response& response, const Agent& agent, std::string_view what);

}  // namespace mooring::control
