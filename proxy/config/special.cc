#include "proxy/config/special.h"

#include <array>
#include <cstdio>

namespace mooring::config {
namespace {

std::string ModeOf(const net::Address& address) {
  if (address.kind != net::Address::Kind::kUnix) return {};
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%04o", address.mode);
  return text.data();
}

}  // namespace

std::string ShowNoWait(const Target& target) {
  return target.process.wait_for_agent ? "false" : "true";
}

std::string ShowPublicMode(const Target& target) {
  return target.service.public_listen ? ModeOf(*target.service.public_listen) : std::string();
}

std::string ShowUpstreamMode(const Target& target) {
  return target.upstream != nullptr ? ModeOf(target.upstream->listen) : std::string();
}

std::string ShowFallback(const Target& target) {
  if (!target.service.intentions) return {};
  return authz::DefaultPolicyName(target.service.intentions->fallback);
}

std::string ShowRules(const Target& target) {
  if (!target.service.intentions) return {};
  std::string text;
  for (const authz::Intention& rule : target.service.intentions->rules) {
    text += (text.empty() ? "" : ", ") + std::string("{source: ") + rule.source_name +
            ", action: " + (rule.action == authz::Action::kAllow ? "allow" : "deny") + '}';
  }
  return '[' + text + ']';
}

std::string ShowEndpoints(const Target& target) {
  if (target.upstream == nullptr || target.upstream->endpoints.empty()) return {};
  std::string text;
  for (const net::Address& endpoint : target.upstream->endpoints)
    text += (text.empty() ? "" : ", ") + endpoint.Text();
  return '[' + text + ']';
}

std::string ShowSpiffeId(const Target& target) {
  if (target.upstream == nullptr || !target.upstream->spiffe_id) return {};
  return target.upstream->spiffe_id->Uri();
}

}  // namespace mooring::config
