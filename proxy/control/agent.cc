#include "proxy/control/agent.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "authz/consul/api.h"
#include "authz/text.h"

namespace mooring::control {
namespace {

// How much of an error answer is read, and how much of that is repeated.
constexpr std::size_t kQuotedFrom = 4096;
constexpr std::size_t kQuoted = 200;

}  // namespace

Result<std::unique_ptr<Agent>> Agent::Make(AgentLink& link, const Token::Origin& token) {
  auto found = link.TokenOf(token);
  if (!found) return found.error();
  return std::unique_ptr<Agent>(new Agent(link, *std::move(found)));
}

Agent::Agent(AgentLink& link, std::shared_ptr<Token> token)
    : link_(link), token_(std::move(token)) {
  link_.connections().AddService();
}

Agent::~Agent() { link_.connections().RemoveService(); }

const std::string& Agent::Secret() {
  token_->Renew();
  return token_->Secret();
}

http::Request Agent::NewRequest(std::string_view method, std::string_view path,
                                std::string_view query) {
  return link_.NewRequest(method, path, query, Secret());
}

void Agent::NameToken(const std::string& secret, Named callback) {
  if (secret.empty()) {
    callback(TokenName(secret));
    return;
  }
  unnamed_.push_back({secret, std::move(callback)});
  AskNames();
}

void Agent::AskNames() {
  if (!accessor_asker_) accessor_asker_ = NewAsker();
  if (unnamed_.empty() || accessor_asker_->busy()) return;
  accessor_asker_->Send(link_.NewRequest("GET", "/v1/acl/token/self", "", unnamed_.front().secret),
                        [this](const Result<http::Response>& answer) {
                          TellName(accessor_asker_->AskedWith(), answer);
                        });
}

void Agent::TellName(const std::string& secret, const Result<http::Response>& answer) {
  std::string name = TokenName(secret);
  if (answer && answer->status == 200) {
    const auto accessor = authz::ParseTokenAccessor(answer->body);
    if (accessor) name = "accessor " + *accessor + ", " + name;
  }
  const auto others = std::stable_partition(
      unnamed_.begin(), unnamed_.end(), [&](const Unnamed& one) { return one.secret != secret; });
  std::vector<Unnamed> named(std::make_move_iterator(others),
                             std::make_move_iterator(unnamed_.end()));
  unnamed_.erase(others, unnamed_.end());
  AskNames();
  for (const Unnamed& one : named) one.callback(name);
}

Error Explain(const http::Response& response, const Agent& agent, std::string_view what,
              const std::string& asked_with) {
  // Blotted before it is cut: half a token is too much.
  const std::string blotted = agent.Blot(response.body.substr(0, kQuotedFrom), asked_with);
  const std::string said = authz::Shortened(authz::Trimmed(blotted), kQuoted);
  const std::string answer = std::string(what) + ": the agent answered " +
                             std::to_string(response.status) + " (" + said + ")";
  if (response.status == 403) {
    const bool unknown = said.find("ACL not found") != std::string::npos;
    return {
        ErrorCode::kDenied,
        answer + (unknown ? "; the agent does not know " : "; a permission is missing from ") +
            agent.TokenName(asked_with) +
            (unknown
                 ? " (deleted, or of another cluster)"
                 : " (a token with a service identity for this service has all that is needed)")};
  }
  if (response.status == 413) {
    return {ErrorCode::kInvalid,
            answer +
                "; what we sent is larger than the agent, or what stands before it, takes "
                "(nginx: client_max_body_size)"};
  }
  if (response.status == 404) return {ErrorCode::kNotFound, answer};
  if (response.status == 400) return {ErrorCode::kInvalid, answer};
  return {ErrorCode::kUnavailable, answer};
}

}  // namespace mooring::control
