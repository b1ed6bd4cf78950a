#include "proxy/control/agent.h"

#include <cstdint>
#include <utility>

#include "authz/consul/api.h"
#include "authz/text.h"
#include "tls/cleanse.h"

namespace mooring::control {
namespace {

// A living agent's chance to say what is true, before what it said to an earlier run is used.
constexpr net::milliseconds kAgentFirst{300};
// How much of an error answer is read, and how much of that is repeated.
constexpr std::size_t kQuotedFrom = 4096;
constexpr std::size_t kQuoted = 200;

std::string Trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1));
}

std::string Base64(std::string_view text) {
  static constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
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

}  // namespace

Result<std::unique_ptr<Agent>> Agent::Make(net::Loop& loop, log::Log& log,
                                           const config::AgentSettings& settings) {
  std::unique_ptr<Agent> agent(new Agent(loop, log, settings));
  http::Endpoint endpoint;
  endpoint.address = settings.address;
  endpoint.verify_name = settings.tls_server_name;
  endpoint.max_body = settings.max_answer_size;
  if (settings.https) {
    auto context = tls::Context::ForHttps(settings.tls);
    if (!context) return context.error();
    endpoint.https = *context;
  }
  agent->connections_ = std::make_unique<AgentConnections>(loop, std::move(endpoint), settings.max_connections);
  if (!settings.token_file.empty()) {
    if (auto read = agent->ReadTokenFile(); !read) {
      return Invalid("Error loading token file: " + read.error().message);
    }
  }
  return agent;
}

Agent::Agent(net::Loop& loop, log::Log& log, const config::AgentSettings& settings)
    : loop_(loop),
      log_(log),
      settings_(settings),
      started_at_(loop.now()),
      name_((settings.https ? "https://" : settings.address.kind == net::Address::Kind::kUnix ? "" : "http://") +
            settings.address.Text() + settings.path_prefix) {}

Agent::~Agent() = default;

Status Agent::ReadTokenFile() {
  // Looked at before it is read: a write in between is then seen at the next look.
  const config::FileLook look = config::LookAt(settings_.token_file);
  auto text = config::ReadFile(settings_.token_file);
  if (!text) return text.error();
  tls::Cleanse(&file_token_);
  file_token_ = Trim(*text);
  tls::Cleanse(&*text);
  file_look_ = look;
  return Ok();
}

void Agent::RereadTokenFile() {
  if (config::LookAt(settings_.token_file) == file_look_) return;
  // A file that is gone or unreadable for a moment (it is being replaced) leaves the last token in force.
  auto read = ReadTokenFile();
  if (read) {
    file_error_said_ = false;
    log_.Info("agent", "token file read again", {{"file", settings_.token_file}});
  } else if (!file_error_said_) {
    file_error_said_ = true;
    log_.Warn("agent", "token file cannot be read; the token read before stays in force",
              {{"error", read.error().message}});
  }
}

http::Request Agent::NewRequest(std::string_view method, std::string_view path, std::string_view query) {
  if (!settings_.token_file.empty()) RereadTokenFile();
  http::Request request;
  request.method = method;
  request.target = settings_.path_prefix;
  request.target += path;
  char separator = '?';
  const auto add = [&](std::string_view text) {
    if (text.empty()) return;
    request.target += separator;
    request.target += text;
    separator = '&';
  };
  add(query);
  if (!settings_.ns.empty()) add("ns=" + UrlEncode(settings_.ns));
  if (!settings_.partition.empty()) add("partition=" + UrlEncode(settings_.partition));
  const std::string& token = file_token_.empty() ? settings_.token : file_token_;
  if (!token.empty()) request.headers["x-consul-token"] = token;
  if (!settings_.basic_auth.empty()) {
    request.headers["authorization"] = "Basic " + Base64(settings_.basic_auth);
  }
  return request;
}

std::string Agent::TokenName() const {
  if (!file_token_.empty()) return "the token of " + settings_.token_file;
  if (!settings_.token.empty()) return "the token given by -token, agent.token or CONSUL_HTTP_TOKEN";
  return "no token";
}

net::MonotonicTime Agent::SavedFrom() const {
  return (has_answered_ ? loop_.now() : started_at_) + kAgentFirst;
}

void Agent::NoteAnswer(const http::Response& response) {
  has_answered_ = true;
  const std::string* date = response.Header("date");
  if (date == nullptr || !clock_.Take(*date, std::chrono::system_clock::now())) return;
  if (const auto off = clock_.off()) {
    log_.Warn("agent", "our clock and the agent's differ: set them by NTP, certificates are valid by the clock",
              {{"ahead_seconds", std::to_string(off->count())}, {"agent", name_}});
  } else {
    log_.Info("agent", "our clock and the agent's agree again", {{"agent", name_}});
  }
}

void Agent::NoteCut(WaitLimit::Cuts& cuts, net::milliseconds waited, net::milliseconds asked, bool by_gateway) {
  if (!wait_limit_.Cut(cuts, waited, asked, by_gateway)) return;
  log_.Warn("agent", "the agent, or what stands before it, ends a waiting question early: shorter ones from now on",
            {{"after_ms", std::to_string(waited.count())},
             {"wait_ms", std::to_string(wait_limit_.Of(asked).count())},
             {"agent", name_}});
}

void Agent::CallWhenBack(const void* who, std::function<void()> call) { waiting_[who] = std::move(call); }

void Agent::SayBack() {
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

std::string Agent::Blot(std::string text) const {
  for (const std::string& token : {file_token_, settings_.token}) {
    for (std::size_t at = 0; !token.empty() && (at = text.find(token, at)) != std::string::npos;) {
      text.replace(at, token.size(), "(the token)");
    }
  }
  return text;
}

void Agent::NameToken(std::function<void(const std::string&)> callback) {
  if (file_token_.empty() && settings_.token.empty()) {
    callback(TokenName());
    return;
  }
  wanting_name_.push_back(std::move(callback));
  if (wanting_name_.size() > 1) return;  // asked already
  if (!accessor_asker_) accessor_asker_ = NewAsker();
  accessor_asker_->Send(NewRequest("GET", "/v1/acl/token/self", ""), [this](const Result<http::Response>& answer) {
    std::string name = TokenName();
    if (answer && answer->status == 200) {
      const auto accessor = authz::ParseTokenAccessor(answer->body);
      if (accessor) name = "accessor " + *accessor + ", " + name;
    }
    for (const auto& each : std::exchange(wanting_name_, {})) each(name);
  });
}

std::string UrlEncode(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                            c == '-' || c == '.' || c == '_' || c == '~';
    if (unreserved) {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    }
  }
  return out;
}

Error Explain(const http::Response& response, const Agent& agent, std::string_view what) {
  // Blotted before it is cut: half a token is too much.
  const std::string said = authz::Shortened(Trim(agent.Blot(response.body.substr(0, kQuotedFrom))), kQuoted);
  const std::string answer =
      std::string(what) + ": the agent answered " + std::to_string(response.status) + " (" + said + ")";
  if (response.status == 403) {
    const bool unknown = said.find("ACL not found") != std::string::npos;
    return {ErrorCode::kDenied,
            answer + (unknown ? "; the agent does not know " : "; a permission is missing from ") +
                agent.TokenName() +
                (unknown ? " (deleted, or of another cluster)"
                         : " (a token with a service identity for this service has all that is needed)")};
  }
  if (response.status == 413) {
    return {ErrorCode::kInvalid, answer + "; what we sent is larger than the agent, or what stands before it, takes "
                                          "(nginx: client_max_body_size)"};
  }
  if (response.status == 404) return {ErrorCode::kNotFound, answer};
  if (response.status == 400) return {ErrorCode::kInvalid, answer};
  return {ErrorCode::kUnavailable, answer};
}

}  // namespace mooring::control
