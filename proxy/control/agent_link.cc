#include "proxy/control/agent_link.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "authz/text.h"

namespace mooring::control {
namespace {

// A living agent's chance to say what is true, before what it said to an earlier run is used.
constexpr net::milliseconds kAgentFirst{300};

std::string Base64(std::string_view text) {
  static constexpr char kAlphabet[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += 3) {
    std::uint32_t block = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      block = (block << 8) | (i + j < text.size() ? static_cast<unsigned char>(text[i + j]) : 0u);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      out.push_back(i + j <= text.size() ? kAlphabet[(block >> (18 - 6 * j)) & 63u] : '=');
    }
  }
  return out;
}

config::AgentSettings WithoutToken(config::AgentSettings settings) {
  settings.token.clear();
  settings.token_file.clear();
  return settings;
}

}  // namespace

Result<std::unique_ptr<AgentLink>> AgentLink::Make(net::Loop& loop, log::Log& log,
                                                   const config::AgentSettings& settings) {
  std::unique_ptr<AgentLink> link(new AgentLink(loop, log, settings));
  http::Endpoint endpoint;
  endpoint.address = settings.address;
  endpoint.verify_name = settings.tls_server_name;
  endpoint.max_body = settings.max_answer_size;
  if (settings.https) {
    auto context = tls::Context::ForHttps(settings.tls);
    if (!context) return context.error();
    endpoint.https = *context;
  }
  link->agent_ = endpoint;
  link->connections_ =
      std::make_unique<AgentConnections>(loop, std::move(endpoint), settings.max_connections);
  return link;
}

AgentLink::AgentLink(net::Loop& loop, log::Log& log, const config::AgentSettings& settings)
    : loop_(loop),
      log_(log),
      settings_(WithoutToken(settings)),
      started_at_(loop.now()),
      name_((settings.https                                       ? "https://"
             : settings.address.kind == net::Address::Kind::kUnix ? ""
                                                                  : "http://") +
            settings.address.Text() + settings.path_prefix) {}

AgentLink::~AgentLink() = default;

Result<std::shared_ptr<Token>> AgentLink::TokenOf(const Token::Origin& origin) {
  std::erase_if(tokens_, [](const std::weak_ptr<Token>& token) { return token.expired(); });
  for (const std::weak_ptr<Token>& known : tokens_) {
    if (auto token = known.lock(); token->origin() == origin) return token;
  }
  auto token = Token::Make(log_, origin);
  if (token) tokens_.push_back(*token);
  return token;
}

void AgentLink::FollowFeed(const std::string& path) {
  fed_ = true;
  http::Endpoint feed;
  feed.address.kind = net::Address::Kind::kUnix;
  feed.address.path = path;
  feed.max_body = settings_.max_answer_size;
  connections_->SetEndpoint(std::move(feed));
}

void AgentLink::AskAgent() {
  if (!std::exchange(fed_, false)) return;
  connections_->SetEndpoint(agent_);
}

http::Request AgentLink::NewRequest(std::string_view method, std::string_view path,
                                    std::string_view query, const std::string& secret) const {
  http::Request request;
  request.method = method;
  if (!fed_) request.target = settings_.path_prefix;
  request.target += path;
  char separator = '?';
  const auto add = [&](std::string_view text) {
    if (text.empty()) return;
    request.target += separator;
    request.target += text;
    separator = '&';
  };
  add(query);
  if (!settings_.ns.empty()) add("ns=" + authz::PercentEncoded(settings_.ns));
  if (!settings_.partition.empty()) add("partition=" + authz::PercentEncoded(settings_.partition));
  if (!secret.empty()) request.headers["x-consul-token"] = secret;
  if (!settings_.basic_auth.empty())
    request.headers["authorization"] = "Basic " + Base64(settings_.basic_auth);
  return request;
}

net::MonotonicTime AgentLink::SavedFrom() const {
  return (has_answered_ ? loop_.now() : started_at_) + kAgentFirst;
}

void AgentLink::NoteAnswer(const http::Response& response) {
  has_answered_ = true;
  const std::string* date = response.Header("date");
  if (date == nullptr || !clock_.Take(*date, std::chrono::system_clock::now())) return;
  if (const auto off = clock_.off()) {
    log_.Warn(
        "agent",
        "our clock and the agent's differ: set them by NTP, certificates are valid by the clock",
        {{"ahead_seconds", off->count()}, {"agent", name_}});
  } else {
    log_.Info("agent", "our clock and the agent's agree again", {{"agent", name_}});
  }
}

void AgentLink::NoteCut(WaitLimit::Cuts& cuts, net::milliseconds waited, net::milliseconds asked,
                        bool by_gateway) {
  if (!wait_limit_.Cut(cuts, waited, asked, by_gateway)) return;
  log_.Warn(
      "agent",
      "the agent, or what stands before it, ends a waiting question early: shorter ones from "
      "now on",
      {{"after_ms", waited.count()}, {"wait_ms", wait_limit_.Of(asked).count()}, {"agent", name_}});
}

void AgentLink::CallWhenBack(const void* who, std::function<void()> call) {
  waiting_[who] = std::move(call);
}

void AgentLink::SayBack() {
  if (waiting_.empty()) return;
  loop_.Post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    // One by one: a call may forget others.
    while (!waiting_.empty()) {
      const auto call = std::move(waiting_.begin()->second);
      waiting_.erase(waiting_.begin());
      call();
    }
  });
}

}  // namespace mooring::control
