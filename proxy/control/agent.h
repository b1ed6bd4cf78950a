// Agent: how one service speaks to the local Consul agent: with its own token, over the process's
// link (agent_link.h), and where it keeps what it was told.
//
// Makes requests, which their users send by an Asker made by NewAsker. Several Agents may share one
// link, each with its token, its store and its limit of staleness. The token may be another Agent's
// as well: whoever asks the same with the same token shares the answer (questions.h). Loop thread
// only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "authz/result.h"
#include "proxy/control/agent_link.h"
#include "proxy/http/client.h"
#include "proxy/net/loop.h"
#include "proxy/state/store.h"

namespace mooring::control {

class Agent final {
 public:
  // Make reads the token file; an unreadable one is an error that names it. `link` must outlive the
  // Agent.
  static Result<std::unique_ptr<Agent>> Make(AgentLink& link, const Token::Origin& token);
  // ForToken is for who asks by a secret, and is no service: it adds nothing to the budget of
  // connections. `name` is that of the token, for messages.
  static std::unique_ptr<Agent> ForToken(AgentLink& link, std::string secret, std::string name);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  AgentLink& link() { return link_; }
  const AgentLink& link() const { return link_; }
  std::unique_ptr<Asker> NewAsker(AgentConnections::Own own = AgentConnections::Own::kNone) {
    return std::make_unique<Asker>(link_.connections(), own);
  }

  // NewRequest is AgentLink's, with the token as it is now.
  http::Request NewRequest(std::string_view method, std::string_view path, std::string_view query);

  // UseStore gives watches a place to keep good answers, and to find those of an earlier run;
  // before the first watch is made. The store must outlive them.
  void UseStore(state::Store* store) { store_ = store; }
  state::Store* store() const { return store_; }

  void SetMaxStale(net::milliseconds limit) { max_stale_ = limit; }
  net::milliseconds max_stale() const { return max_stale_; }  // 0: no limit

  bool stale() const { return link_.stale(); }
  const std::string& name() const { return link_.name(); }  // of the agent, as the link says it

  // Secret is the token in force, after a look at its file; empty: none. Never logged.
  const std::string& Secret();
  // TokenName says which token is in use, never the token: "the token of /etc/mooring/token", "no
  // token".
  std::string TokenName() const { return token_->Name(); }
  // TokenName of a secret that something was asked with: the file may have another by now.
  std::string TokenName(const std::string& secret) const { return token_->NameOf(secret); }
  // WhyNoToken stands behind the word that there is no token: " (the token file ... is empty)" or
  // nothing.
  std::string WhyNoToken() const { return token_->WhyNone(); }
  // Blot replaces our token, and `secret`, in a text of the agent's, which may repeat what it was
  // asked with.
  std::string Blot(std::string text, const std::string& secret = {}) const {
    return token_->Blot(std::move(text), secret);
  }
  // Examine asks the agent about a token that something was refused to, and calls back. Nothing is
  // called after this object's end.
  struct Examined {
    std::string token;        // its accessor ID, if the agent tells it, and TokenName
    bool leaderless = false;  // the agent has no leader now, and may refuse any token for that
    bool led = false;         // it has one
    // Sure is what Explain has said, without the doubt that there may be no leader, if there is.
    std::string Sure(std::string explained) const;
  };
  using OnExamined = std::function<void(const Examined&)>;
  void Examine(const std::string& secret, OnExamined callback);

 private:
  struct Unexamined {
    std::string secret;
    OnExamined callback;
  };
  enum class Counts { kService, kNothing };
  Agent(AgentLink& link, std::shared_ptr<Token> token, Counts counts);
  void AskLeader();
  void AskAccessor(const std::string& secret, Examined examined);
  void Tell(const std::string& secret, const Examined& examined);

  AgentLink& link_;
  const std::shared_ptr<Token> token_;
  const Counts counts_;
  state::Store* store_ = nullptr;
  net::milliseconds max_stale_{0};
  std::unique_ptr<Asker> examiner_;
  std::vector<Unexamined> unexamined_;  // one secret after the other
};

// Explain turns an answer that is not 200 into an error with its likely cause: 403 names the token,
// which is the one it was asked with, and the permission. `what` says what was asked for, `gives`
// what a token has to have for it.
inline constexpr std::string_view kIdentityGives = "a service identity for this service has it";
Error Explain(const http::Response& response, const Agent& agent, std::string_view what,
              const std::string& asked_with, std::string_view gives = kIdentityGives);

}  // namespace mooring::control
