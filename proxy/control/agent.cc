#include "proxy/control/agent.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "authz/consul/api.h"
#include "authz/text.h"
#include "proxy/control/agent_front.h"

namespace mooring::control {
namespace {

constexpr std::string_view kOrNoLeader = ", or the agent has not reached a leader yet";

// ReadLeader reads an answer of /v1/status/leader. 500 is "No known Consul servers" of a client
// agent; what else is no name of a leader tells nothing.
void ReadLeader(const Result<http::Response>& answer, Agent::Examined* examined) {
  if (!answer) return;
  const std::string_view body =
      answer->status == 200 ? authz::Trimmed(answer->body) : std::string_view();
  examined->leaderless = answer->status == 500 || body == "\"\"";
  examined->led = body.size() > 2 && body.starts_with('"');
}

// WhyRefused is what is likely behind a 403. A server that has just started answers "ACL not found"
// to any token before it has a leader, and a client agent before it has reached a server that the
// permission is missing.
std::string WhyRefused(std::string_view said, const Agent& agent, const std::string& asked_with,
                       std::string_view gives) {
  const std::string token = agent.TokenName(asked_with);
  const std::string doubt(agent.link().HasReachedLeader() ? "" : kOrNoLeader);
  if (said.find("ACL not found") != std::string_view::npos)
    return "; the agent does not know " + token + " (deleted, or of another cluster)" + doubt;
  return (asked_with.empty() ? "; it was asked without a token" + agent.WhyNoToken() +
                                   ", which lacks a permission ("
                             : "; a permission is missing from " + token + " (") +
         std::string(gives) + ")" + doubt;
}

}  // namespace

Result<std::unique_ptr<Agent>> Agent::Make(AgentLink& link, const Token::Origin& token) {
  auto found = link.TokenOf(token);
  if (!found) return found.error();
  return std::unique_ptr<Agent>(new Agent(link, *std::move(found), Counts::kService));
}

std::unique_ptr<Agent> Agent::ForToken(AgentLink& link, std::string secret, std::string name) {
  // A token that is given as it is has no file to read, so it is always found.
  auto token = link.TokenOf({.given = std::move(secret), .file = {}, .name = std::move(name)});
  return std::unique_ptr<Agent>(new Agent(link, *std::move(token), Counts::kNothing));
}

Agent::Agent(AgentLink& link, std::shared_ptr<Token> token, Counts counts)
    : link_(link), token_(std::move(token)), counts_(counts) {
  if (counts_ == Counts::kService) link_.connections().AddService();
}

Agent::~Agent() {
  if (counts_ == Counts::kService) link_.connections().RemoveService();
}

const std::string& Agent::Secret() {
  token_->Renew();
  return token_->Secret();
}

http::Request Agent::NewRequest(std::string_view method, std::string_view path,
                                std::string_view query) {
  return link_.NewRequest(method, path, query, Secret());
}

void Agent::Examine(const std::string& secret, OnExamined callback) {
  unexamined_.push_back({secret, std::move(callback)});
  AskLeader();
}

// AskLeader comes first: what an agent without a leader says of a token means nothing.
void Agent::AskLeader() {
  if (!examiner_) examiner_ = NewAsker();
  if (unexamined_.empty() || examiner_->busy()) return;
  examiner_->Send(
      link_.NewRequest("GET", "/v1/status/leader", "", ""),
      [this, secret = unexamined_.front().secret](const Result<http::Response>& answer) {
        Examined examined{.token = TokenName(secret)};
        ReadLeader(answer, &examined);
        if (examined.led) link_.NoteLeader();
        if (examined.leaderless || secret.empty()) {
          Tell(secret, examined);
        } else {
          AskAccessor(secret, examined);
        }
      });
}

void Agent::AskAccessor(const std::string& secret, Examined examined) {
  examiner_->Send(
      link_.NewRequest("GET", "/v1/acl/token/self", "", secret),
      [this, secret, examined = std::move(examined)](const Result<http::Response>& answer) mutable {
        if (answer && answer->status == 200) {
          if (const auto accessor = authz::ParseTokenAccessor(answer->body))
            examined.token = "accessor " + *accessor + ", " + examined.token;
        }
        Tell(secret, examined);
      });
}

std::string Agent::Examined::Sure(std::string explained) const {
  if (led && explained.ends_with(kOrNoLeader))
    explained.resize(explained.size() - kOrNoLeader.size());
  return explained;
}

void Agent::Tell(const std::string& secret, const Examined& examined) {
  const auto of_it =
      std::stable_partition(unexamined_.begin(), unexamined_.end(),
                            [&](const Unexamined& one) { return one.secret != secret; });
  const std::vector<Unexamined> done(std::make_move_iterator(of_it),
                                     std::make_move_iterator(unexamined_.end()));
  unexamined_.erase(of_it, unexamined_.end());
  AskLeader();
  for (const Unexamined& one : done) one.callback(examined);
}

Error Explain(const http::Response& response, const Agent& agent, std::string_view what,
              const std::string& asked_with, std::string_view gives) {
  const std::string said = Said(response, [&agent, &asked_with](std::string text) {
    return agent.Blot(std::move(text), asked_with);
  });
  const std::string answer = std::string(what) + ": the agent answered " +
                             std::to_string(response.status) + " (" + said + ")";
  // A page is what a front shows: the agent has not been asked.
  if (response.status == 403 && !IsPage(response))
    return {ErrorCode::kDenied, answer + WhyRefused(said, agent, asked_with, gives)};
  const ErrorCode code = response.status == 404 ? ErrorCode::kNotFound
                         : response.status == 400 || response.status == 413
                             ? ErrorCode::kInvalid
                             : ErrorCode::kUnavailable;
  return {code, answer + CureOfAnswer(response)};
}

}  // namespace mooring::control
