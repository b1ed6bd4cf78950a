// The part of the API about the agent's own node and its cluster of one. What would be made up
// here, such as ports that nobody listens on, is what `consul agent -dev` says.
#include <algorithm>
#include <utility>

#include "proxy/dev/agent.h"

namespace mooring::dev {
namespace {

constexpr const char* kServerAddress = "127.0.0.1:8300";
constexpr int kGossipPort = 8301;

template <typename Map, typename Predicate>
std::string Count(const Map& map, const Predicate& predicate) {
  return std::to_string(std::count_if(map.begin(), map.end(), predicate));
}

}  // namespace

Json Agent::MemberDocument() const {
  const std::string version = VersionOf(options_.like);
  return {{"Name", node_.name},
          {"Addr", kNodeAddress},
          {"Port", kGossipPort},
          {"Tags",
           {{"acls", HasAcls() ? "1" : "0"},
            {"build", version + ':'},
            {"dc", node_.datacenter},
            {"ft_fs", "1"},
            {"ft_si", "1"},
            {"id", node_.id},
            {"port", "8300"},
            {"raft_vsn", "3"},
            {"role", "consul"},
            {"segment", ""},
            {"vsn", "2"},
            {"vsn_max", "3"},
            {"vsn_min", "2"},
            {"wan_join_port", "8302"}}},
          {"Status", 1},
          {"ProtocolMin", 1},
          {"ProtocolMax", 5},
          {"ProtocolCur", 2},
          {"DelegateMin", 2},
          {"DelegateMax", 5},
          {"DelegateCur", 4}};
}

Json Agent::StatsDocument() const {
  const auto& checks = state_.checks();
  const bool old = IsOld();
  const auto of_type = [&](auto fits) {
    return Count(checks, [&](const auto& entry) { return fits(entry.second.type); });
  };
  Json stats = {
      {"agent",
       {{"check_monitors", of_type([](const std::string& type) { return type == "script"; })},
        {"check_ttls", of_type([](const std::string& type) { return type == "ttl"; })},
        {"checks", std::to_string(checks.size())},
        {"services", std::to_string(state_.services().size())}}},
      {"build", {{"prerelease", ""}, {"revision", ""}, {"version", VersionOf(options_.like)}}},
      {"consul",
       {{"acl", HasAcls() ? "enabled" : "disabled"},
        {"bootstrap", "false"},
        {"known_datacenters", "1"},
        {"leader", "true"},
        {"leader_addr", kServerAddress},
        {"server", "true"}}},
      {"serf_lan", {{"members", "1"}, {"left", "0"}, {"failed", "0"}, {"encrypted", "false"}}}};
  if (!old) stats["build"]["version_metadata"] = "";
  return stats;
}

void Agent::GetSelf(const Call& call) {
  const std::string policy =
      options_.default_policy == authz::DefaultPolicy::kAllow ? "allow" : "deny";
  Json config = {{"Datacenter", node_.datacenter},
                 {"NodeName", node_.name},
                 {"NodeID", node_.id},
                 {"Server", true},
                 {"Revision", ""},
                 {"Version", VersionOf(options_.like)}};
  Json debug = {{"ConnectEnabled", true}, {"DevMode", true}};
  if (IsOld()) {
    debug["ACLDefaultPolicy"] = policy;
    debug["ACLsEnabled"] = HasAcls();
  } else {
    config["PrimaryDatacenter"] = node_.datacenter;
    config["BuildDate"] = "1970-01-01T00:00:01Z";
    debug["ACLEnableKeyListPolicy"] = false;
    debug["ACLInitialManagementToken"] = "hidden";
    debug["ACLResolverSettings"] = {
        {"ACLDefaultPolicy", policy},     {"ACLDownPolicy", "extend-cache"},
        {"ACLPolicyTTL", "30s"},          {"ACLRoleTTL", "0s"},
        {"ACLTokenTTL", "30s"},           {"ACLsEnabled", HasAcls()},
        {"Datacenter", node_.datacenter}, {"NodeName", node_.name}};
    const authz::DefaultPolicy intentions = options_.default_intention_policy;
    debug["DefaultIntentionPolicy"] =
        intentions == authz::DefaultPolicy::kUnknown ? "" : authz::DefaultPolicyName(intentions);
  }
  AnswerJson(call, {{"Config", std::move(config)},
                    {"DebugConfig", std::move(debug)},
                    {"Member", MemberDocument()},
                    {"Stats", StatsDocument()},
                    {"Meta", Json::object()}});
}

// GetMembers knows one gossip pool with one segment, so what it is asked for makes no difference
// but for another one's name.
void Agent::GetMembers(const Call& call) {
  const std::string* segment = call.request.Query("segment");
  if (segment != nullptr && !segment->empty() && *segment != "_all") {
    AnswerText(call, 400,
               "Invalid query parameter: \"segment\" - segments are a Consul Enterprise "
               "feature");
    return;
  }
  AnswerJson(call, Json::array({MemberDocument()}));
}

void Agent::GetLeader(const Call& call) { AnswerJson(call, kServerAddress); }

void Agent::GetPeers(const Call& call) { AnswerJson(call, Json::array({kServerAddress})); }

void Agent::GetCaConfiguration(const Call& call) {
  Json config = {{"IntermediateCertTTL", "8760h"}, {"LeafCertTTL", "72h"}};
  const auto hours = std::chrono::floor<std::chrono::hours>(options_.leaf_lifetime);
  if (hours == options_.leaf_lifetime && hours.count() > 0)
    config["LeafCertTTL"] = std::to_string(hours.count()) + 'h';
  Json out = {{"Provider", "consul"},
              {"CreateIndex", ca_->roots_index()},
              {"ModifyIndex", ca_->roots_index()}};
  if (!IsOld()) {
    config["RootCertTTL"] = "87600h";
    out["State"] = nullptr;
    out["ForceWithoutCrossSigning"] = false;
  }
  out["Config"] = std::move(config);
  AnswerJson(call, out);
}

// GetKey: the store of keys and values is always empty.
void Agent::GetKey(const Call& call) {
  http::ServerResponse response = Response(404, "text/plain; charset=utf-8", "");
  PutMeta(response, 1, Meta::kServer);
  call.reply(std::move(response));
}

}  // namespace mooring::dev
