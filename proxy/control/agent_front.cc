#include "proxy/control/agent_front.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "authz/text.h"

namespace mooring::control {
namespace {

// How much of an answer is read for a message, and how much of that is repeated.
constexpr std::size_t kQuotedFrom = 4096;
constexpr std::size_t kQuoted = 200;

constexpr std::string_view kGzip = "\x1f\x8b";

// What servers answer to plain HTTP on a port of theirs that speaks TLS: Go (and so Consul), nginx,
// Apache, and whoever copies them.
constexpr std::array<std::string_view, 3> kWantsTls{"HTTP request to an HTTPS server",
                                                    "plain HTTP request was sent to HTTPS port",
                                                    "plain HTTP to an SSL-enabled server port"};

std::string Lowered(std::string_view text) {
  std::string lowered(text);
  std::transform(lowered.begin(), lowered.end(), lowered.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return lowered;
}

std::string HeaderText(const http::Response& answer, const std::string& name) {
  const std::string* text = answer.Header(name);
  return text == nullptr ? std::string() : Lowered(authz::Trimmed(*text));
}

// Coding is by what the body is compressed; empty if it is not.
std::string Coding(const http::Response& answer) {
  std::string coding = HeaderText(answer, "content-encoding");
  if (coding == "identity") coding.clear();
  if (coding.empty() && answer.body.starts_with(kGzip)) coding = "gzip";
  return authz::Shortened(coding, 20);
}

// Title is that of a page, as it stands there.
std::string Title(const std::string& page) {
  constexpr std::string_view kOpen = "<title>";
  const std::string lowered = Lowered(page);
  const std::size_t begin = lowered.find(kOpen);
  const std::size_t end = lowered.find("</title>", begin == std::string::npos ? 0 : begin);
  if (begin == std::string::npos || end == std::string::npos) return {};
  const std::size_t from = begin + kOpen.size();
  return std::string(authz::Trimmed(std::string_view(page).substr(from, end - from)));
}

// Origin is scheme and host of a URL; empty where it has none.
std::string Origin(const std::string& url) {
  const std::string lowered = Lowered(url.substr(0, 8));
  if (!lowered.starts_with("http://") && !lowered.starts_with("https://")) return {};
  const std::size_t host = url.find("//") + 2;
  return url.substr(0, url.find_first_of("/?#", host));
}

std::string CureOfRedirect(const http::Response& answer) {
  const std::string* location = answer.Header("location");
  const std::string origin = location == nullptr ? std::string() : Origin(*location);
  if (origin.empty())
    return "; redirects are not followed: is this the agent's address, with its path prefix?";
  return "; redirects are not followed: if the agent is there, give " +
         authz::Shortened(origin, kQuoted) + " as its address";
}

}  // namespace

std::string CureOf(http::Client::Trouble trouble, bool https) {
  using Trouble = http::Client::Trouble;
  switch (trouble) {
    case Trouble::kNone:
    case Trouble::kSilent:
    case Trouble::kNoTls:
    case Trouble::kTooMany: return {};
    case Trouble::kUnreachable: return "; is the agent running, and is this its address?";
    case Trouble::kUnanswered:
      return https ? "; is this the agent's HTTPS port, and does it, or what stands before it, "
                     "admit this host?"
                   : "; is this the agent's HTTP port, and does it, or what stands before it, "
                     "admit this host?";
    case Trouble::kNotHttp:
      return https ? "; is this the agent's HTTPS port?" : "; is this the agent's HTTP port?";
    case Trouble::kSpeaksTls: return "; the agent speaks TLS here: use https://";
  }
  return {};
}

bool IsPage(const http::Response& answer) {
  if (HeaderText(answer, "content-type").starts_with("text/html")) return true;
  const std::string head =
      Lowered(authz::Trimmed(std::string_view(answer.body).substr(0, kQuotedFrom)));
  return head.starts_with("<html") || head.starts_with("<!doctype html");
}

std::optional<Error> Unusable(const http::Response& answer) {
  if (answer.status != 200) return std::nullopt;
  if (const std::string coding = Coding(answer); !coding.empty()) {
    return Error{ErrorCode::kUnavailable,
                 "the answer is compressed (" + coding +
                     "), which was not asked for; what stands before the agent must not compress "
                     "(nginx: gzip off)"};
  }
  if (IsPage(answer)) {
    const std::string title = Title(answer.body.substr(0, kQuotedFrom));
    return Error{ErrorCode::kUnavailable,
                 "the answer is an HTML page" +
                     (title.empty() ? "" : " (\"" + authz::Shortened(title, kQuoted) + "\")") +
                     " and no document of an agent; is this the agent's address, with its path "
                     "prefix?"};
  }
  return std::nullopt;
}

std::string Said(const http::Response& answer,
                 const std::function<std::string(std::string)>& blot) {
  if (answer.status / 100 == 3) {
    const std::string* location = answer.Header("location");
    return location == nullptr ? "a redirect to nowhere"
                               : "a redirect to " + authz::Shortened(blot(*location), kQuoted);
  }
  if (!Coding(answer).empty()) return "a compressed text";
  // Blotted before it is cut: half a token is too much.
  const std::string blotted = blot(answer.body.substr(0, kQuotedFrom));
  if (!IsPage(answer)) return authz::Shortened(authz::Trimmed(blotted), kQuoted);
  const std::string title = Title(blotted);
  return title.empty() ? "an HTML page"
                       : "an HTML page: \"" + authz::Shortened(title, kQuoted) + '"';
}

std::string CureOfAnswer(const http::Response& answer) {
  if (answer.status / 100 == 3) return CureOfRedirect(answer);
  const std::string_view body = std::string_view(answer.body).substr(0, kQuotedFrom);
  if (answer.status == 400 &&
      std::any_of(kWantsTls.begin(), kWantsTls.end(), [body](std::string_view words) {
        return body.find(words) != std::string_view::npos;
      }))
    return "; the agent speaks TLS here: use https://";
  if (answer.status == 401)
    return "; what stands before the agent wants a user and a password: CONSUL_HTTP_AUTH";
  if (answer.status == 413)
    return "; what we sent is larger than the agent, or what stands before it, takes "
           "(nginx: client_max_body_size)";
  if (IsPage(answer)) return "; this is no answer of an agent, but of what stands before it";
  return {};
}

}  // namespace mooring::control
