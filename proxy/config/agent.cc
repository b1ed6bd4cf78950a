#include "proxy/config/agent.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "authz/text.h"

namespace mooring::config {
namespace {

constexpr std::string_view kForms =
    "write host:port, http://host:port, https://host:port or unix:///path";

bool IsPrefixByte(char c) {
  return c > ' ' && c < '\x7f' && c != '?' && c != '#' && c != '%' && c != '"' && c != '\\';
}

}  // namespace

Status ParseAgentAddress(const std::string& text, AgentSettings* agent, std::string_view base_dir) {
  const std::size_t separator = text.find("://");
  const std::string scheme = separator == std::string::npos ? "" : text.substr(0, separator);
  if (text.starts_with("unix:")) {
    Result<net::Address> address = net::ParseAddress(text, std::nullopt, base_dir);
    if (!address) return address.error();
    agent->address = *std::move(address);
    agent->path_prefix.clear();
    return Ok();
  }
  if (separator != std::string::npos && scheme != "http" && scheme != "https") {
    return Invalid("Unknown protocol scheme: " + authz::Shortened(scheme) + "; " +
                   std::string(kForms));
  }

  // Not quoted: what stands before the @ may be a password.
  if (text.find('@') != std::string::npos) {
    return Invalid("the agent's address takes no user and password; set CONSUL_HTTP_AUTH");
  }
  const bool https = agent->https || scheme == "https";
  std::string rest = separator == std::string::npos ? text : text.substr(separator + 3);
  std::string prefix;
  if (const std::size_t slash = rest.find('/'); slash != std::string::npos) {
    prefix = rest.substr(slash);
    rest.erase(slash);
  }
  if (separator == std::string::npos && !prefix.empty()) {
    return Invalid('"' + authz::Shortened(text) +
                   "\" is not an agent's address: a path needs a scheme; " + std::string(kForms));
  }
  while (prefix.ends_with('/')) prefix.pop_back();
  if (!std::all_of(prefix.begin(), prefix.end(), IsPrefixByte)) {
    return Invalid('"' + authz::Shortened(text) +
                   "\" is not an agent's address: the path holds a character that does not belong");
  }
  if (!rest.empty() && rest.find_first_not_of("0123456789") == std::string::npos) {
    return Invalid('"' + authz::Shortened(text) +
                   "\" has no host; write 127.0.0.1:" + authz::Shortened(rest));
  }
  const bool has_port = !rest.empty() && rest.back() != ']' && rest.find(':') != std::string::npos;
  if (!rest.empty() && !has_port) rest += https ? ":443" : ":80";

  Result<net::Address> address = net::ParseAddress(rest, "127.0.0.1");
  if (!address) return address.error();
  if (address->port == 0) {
    return Invalid('"' + authz::Shortened(text) +
                   "\" is not an agent's address: port 0 cannot be dialled");
  }
  agent->address = *std::move(address);
  agent->https = https;
  agent->path_prefix = std::move(prefix);
  return Ok();
}

Status CheckAgent(const AgentSettings& agent) {
  if (agent.tls.client_cert.empty() != agent.tls.client_key.empty()) {
    return Invalid("both client cert and client key must be provided");
  }
  const bool unix_socket = agent.address.kind == net::Address::Kind::kUnix;
  if (agent.https && unix_socket && agent.tls.verify && agent.tls_server_name.empty()) {
    return Invalid(
        "https over a unix socket has no host name to verify: give the TLS server name "
        "that the agent's certificate holds");
  }
  return Ok();
}

}  // namespace mooring::config
