// documents: what an agent answers, by every decoder there is, and the decisions that intentions
// lead to.
//
// The first byte says which document it is, the rest is its body.
#include <functional>
#include <string>
#include <vector>

#include "authz/consul/api.h"
#include "tests/fuzz/targets.h"

namespace mooring::fuzz {
namespace {

// Look has a decoder read the same body twice: the same comes of it.
template <typename Decode>
auto Look(std::string_view body, const Decode& decode) {
  auto first = decode(body);
  auto second = decode(body);
  FUZZ_REQUIRE(first.has_value() == second.has_value(), body);
  if (!first) {
    const std::string& message = first.error().message;
    FUZZ_REQUIRE(first.error().code == ErrorCode::kInvalid, message);
    FUZZ_REQUIRE(!message.empty() && message.size() < 4000, message);
    FUZZ_REQUIRE(message == second.error().message, message);
  }
  return first;
}

bool HasNul(const std::string& text) { return text.find('\0') != std::string::npos; }

void LookAtInstances(const std::vector<authz::Instance>& instances) {
  for (const authz::Instance& one : instances) {
    FUZZ_REQUIRE(!one.address.empty() && one.port != 0, one.id);
    FUZZ_REQUIRE(one.weight >= 0 && one.weight <= 65535, one.id);
    FUZZ_REQUIRE(one.weight > 0 || one.warning, one.id);
    FUZZ_REQUIRE(one.wan_address.empty() == (one.wan_port == 0), one.id);
    FUZZ_REQUIRE(!HasNul(one.address) && !HasNul(one.id) && !HasNul(one.node), one.id);
  }
}

constexpr const char* kAsked = "payment";

using Kind = void (*)(std::string_view body);

constexpr Kind kKinds[] = {
    [](std::string_view body) {
      const auto leaf = Look(body, authz::ParseLeaf);
      if (!leaf) return;
      FUZZ_REQUIRE(!leaf.value().certificate_pem.empty(), body);
      FUZZ_REQUIRE(!leaf.value().private_key_pem.empty(), body);
    },
    [](std::string_view body) {
      const auto roots = Look(body, authz::ParseRoots);
      if (!roots) return;
      FUZZ_REQUIRE(!roots.value().pems.empty(), body);
      FUZZ_REQUIRE(authz::IsTrustDomain(roots.value().trust_domain), body);
    },
    [](std::string_view body) {
      const auto match = Look(
          body, [](std::string_view text) { return authz::ParseIntentionMatch(text, kAsked); });
      if (!match) return;
      const authz::IntentionSet set(match.value());
      for (const char* name : {"web", "payment", "*", "default"}) {
        const authz::ServiceId caller{"td", "", "default", "dc1", name};
        const auto closed = set.Decide(caller, authz::DefaultPolicy::kDeny);
        const auto open = set.Decide(caller, authz::DefaultPolicy::kAllow);
        const auto unknown = set.Decide(caller, authz::DefaultPolicy::kUnknown);
        FUZZ_REQUIRE(closed.by_default == open.by_default, closed.reason);
        FUZZ_REQUIRE(closed.by_default ? !closed.allowed && open.allowed && !unknown.allowed
                                       : closed.allowed == open.allowed,
                     closed.reason);
      }
    },
    [](std::string_view body) { (void)Look(body, authz::ParseAuthorize); },
    [](std::string_view body) { (void)Look(body, authz::ParseTokenAccessor); },
    [](std::string_view body) {
      if (const auto found = Look(body, authz::ParseInstances)) LookAtInstances(found.value());
    },
    [](std::string_view body) {
      if (const auto found = Look(body, authz::ParseGateways)) LookAtInstances(found.value());
    },
    [](std::string_view body) {
      (void)Look(body, [](std::string_view text) { return authz::ParseAppInstances(text, "v1"); });
    },
    [](std::string_view body) {
      const auto query = Look(body, authz::ParseQuery);
      if (!query) return;
      LookAtInstances(query.value().instances);
      FUZZ_REQUIRE(query.value().peer.empty() || query.value().instances.empty(), body);
      FUZZ_REQUIRE(query.value().instances.empty() || !query.value().datacenter.empty(), body);
    },
    [](std::string_view body) {
      const auto chain = Look(body, authz::ParseChain);
      if (!chain) return;
      FUZZ_REQUIRE(chain.value().targets.empty() == !chain.value().beyond.empty(), body);
    },
    [](std::string_view body) {
      const auto proxy = Look(body, authz::ParseProxy);
      if (!proxy) return;
      for (const auto& upstream : proxy.value().upstreams) {
        FUZZ_REQUIRE(upstream.name != "*", body);
        FUZZ_REQUIRE((upstream.bind_port == 0) != upstream.socket_path.empty(), body);
      }
    },
    [](std::string_view body) {
      (void)Look(body, [](std::string_view text) { return authz::ParseServiceMeta(text, "zone"); });
    },
    [](std::string_view body) {
      const auto mesh = Look(body, authz::ParseMesh);
      if (body.empty()) FUZZ_REQUIRE(mesh.has_value() && !mesh.value().exists, body);
    },
    [](std::string_view body) { (void)Look(body, authz::ParseMutualTlsMode); },
    [](std::string_view body) {
      const auto found =
          Look(body, [](std::string_view text) { return authz::ParseSidecars(text, kAsked); });
      if (!found) return;
      const auto& ids = found.value().proxy_ids;
      FUZZ_REQUIRE(std::is_sorted(ids.begin(), ids.end()), body);
      FUZZ_REQUIRE(ids.size() <= found.value().services_seen, body);
    },
    [](std::string_view body) {
      (void)Look(body,
                 [](std::string_view text) { return authz::ParseServiceChecks(text, kAsked); });
    },
    [](std::string_view body) { (void)Look(body, authz::ParseAgentNode); },
    [](std::string_view body) { (void)Look(body, authz::ParseNodeLocality); },
};

}  // namespace

void documents(Input input) {
  Script script(input);
  const Kind kind = kKinds[script.Below(std::size(kKinds))];
  kind(TextOf(script.Rest()));
}

}  // namespace mooring::fuzz
