// decisions: intentions made of choices, as the agent writes them, and who may come in by them,
// against a second reading of Consul's rules.
//
// Bytes alone would make hardly a list of intentions that is one; here each script is a good list.
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "authz/consul/api.h"
#include "tests/fuzz/targets.h"

namespace mooring::fuzz {
namespace {

constexpr std::array<const char*, 5> kNames = {"web", "*", "Web", "api", "default"};
constexpr std::array<const char*, 4> kSpaces = {"", "default", "*", "team"};
constexpr std::array<const char*, 4> kActions = {"allow", "deny", "", "Allow"};
constexpr const char* kAsked = "db";

// Entry is what was chosen for one intention.
struct Entry {
  std::string source_partition, source_ns, source_name, peer, group, destination_ns,
      destination_name, action, type;
  int precedence = 0;
  bool jwt = false;
  bool permissions = false;
};

Entry Choose(Script* script) {
  Entry entry;
  entry.source_name = script->OneOf(kNames);
  entry.source_ns = script->OneOf(kSpaces);
  entry.destination_name = script->OneOf(std::array<const char*, 3>{"db", "*", "DB"});
  entry.destination_ns = script->OneOf(kSpaces);
  entry.action = script->OneOf(kActions);
  entry.precedence = static_cast<int>(script->Below(11));
  const std::uint8_t rare = script->Byte();
  if ((rare & 1U) != 0) entry.source_partition = script->OneOf(kSpaces);
  if ((rare & 2U) != 0) entry.peer = "p";
  if ((rare & 4U) != 0) entry.group = "g";
  entry.jwt = (rare & 8U) != 0;
  entry.permissions = (rare & 16U) != 0;
  entry.type = (rare & 32U) != 0 ? "service-account" : (rare & 64U) != 0 ? "" : "consul";
  return entry;
}

std::string JsonOf(const Entry& entry) {
  std::string json = "{";
  const auto put = [&json](const char* key, const std::string& value) {
    json += "\"" + std::string(key) + "\":\"" + value + "\",";
  };
  put("SourcePartition", entry.source_partition);
  put("SourceNS", entry.source_ns);
  put("SourceName", entry.source_name);
  put("SourcePeer", entry.peer);
  put("SourceSamenessGroup", entry.group);
  put("DestinationNS", entry.destination_ns);
  put("DestinationName", entry.destination_name);
  put("Action", entry.action);
  put("SourceType", entry.type);
  if (entry.jwt) json += "\"JWT\":{},";
  if (entry.permissions) json += "\"Permissions\":[{}],";
  return json + "\"Precedence\":" + std::to_string(entry.precedence) + "}";
}

std::string Named(const std::string& name) { return name.empty() ? "default" : name; }

int Exactness(const std::string& ns, const std::string& name) {
  return ns == "*" ? 0 : name == "*" ? 1 : 2;
}

bool Covers(const Entry& entry, const authz::ServiceId& caller) {
  if (!entry.peer.empty()) return false;
  const bool partition = !entry.group.empty() || entry.source_partition == "*" ||
                         Named(entry.source_partition) == Named(caller.partition);
  const bool ns = entry.source_ns == "*" || Named(entry.source_ns) == caller.ns;
  return partition && ns && (entry.source_name == "*" || entry.source_name == caller.service);
}

bool Judgeable(const Entry& entry) {
  return !entry.jwt && !entry.permissions && entry.group.empty() && entry.source_partition != "*" &&
         entry.type != "service-account" && (entry.action == "allow" || entry.action == "deny");
}

// Expected is the verdict of the first in Consul's order that covers the caller; nothing: none
// does.
std::optional<bool> Expected(const std::vector<Entry>& entries, const authz::ServiceId& caller) {
  const auto order = [](const Entry& entry) {
    const int precedence = entry.precedence > 0
                               ? entry.precedence
                               : 1 + 3 * Exactness(entry.destination_ns, entry.destination_name) +
                                     Exactness(entry.source_ns, entry.source_name);
    return std::make_tuple(-precedence, Named(entry.source_ns), entry.source_name,
                           Named(entry.destination_ns), entry.destination_name,
                           !entry.group.empty(), entry.action == "allow" && Judgeable(entry));
  };
  const Entry* first = nullptr;
  for (const Entry& entry : entries) {
    if (Covers(entry, caller) && (first == nullptr || order(entry) < order(*first))) first = &entry;
  }
  if (first == nullptr) return std::nullopt;
  return first->action == "allow" && Judgeable(*first);
}

}  // namespace

void decisions(Input input) {
  Script script(input);
  authz::ServiceId caller{"td.consul", "", "default", "dc1", script.OneOf(kNames)};
  if (caller.service == "*") caller.service = "other";
  if (script.Flag()) caller.ns = "team";
  if (script.Flag()) caller.partition = "team";
  std::vector<Entry> entries;
  std::string body = std::string("{\"") + kAsked + "\":[";
  while (!script.AtEnd() && entries.size() < 12) {
    entries.push_back(Choose(&script));
    body += (entries.size() > 1 ? "," : "") + JsonOf(entries.back());
  }
  body += "]}";
  const auto decoded = authz::ParseIntentionMatch(body, kAsked);
  FUZZ_REQUIRE(decoded.has_value(), decoded ? "" : decoded.error().message + body);
  const authz::IntentionSet set(decoded.value());
  const std::optional<bool> expected = Expected(entries, caller);
  for (const bool open : {false, true}) {
    const auto decision =
        set.Decide(caller, open ? authz::DefaultPolicy::kAllow : authz::DefaultPolicy::kDeny);
    FUZZ_REQUIRE(decision.by_default == !expected, decision.reason + body);
    FUZZ_REQUIRE(decision.allowed == expected.value_or(open), decision.reason + body);
  }
  FUZZ_REQUIRE(!set.Decide(caller, authz::DefaultPolicy::kUnknown).allowed || expected == true,
               body);
  // Whoever is asked about in order to learn the default must be covered by nobody.
  authz::ServiceId nobody = caller;
  nobody.service = set.UnmatchedSource(caller);
  if (!nobody.service.empty())
    FUZZ_REQUIRE(set.Decide(nobody, authz::DefaultPolicy::kDeny).by_default, nobody.service + body);
}

}  // namespace mooring::fuzz
