// Agent: the stand-in for one Consul agent behind `mooring dev`: the state of one node and a
// single-server datacenter, and the requests of the agent's HTTP API on it. No ACLs, no namespaces,
// nothing on disk.
//
// Not for production. Paths and words are those of Consul 1.21, or those of 1.8 (like.h), with two
// things that 1.8 does not have: intentions/exact and an index on intentions/match. The handlers
// are in handlers_*.cc, one file a part of the API. Loop thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "authz/intention.h"
#include "proxy/dev/blocking.h"
#include "proxy/dev/checks.h"
#include "proxy/dev/config_entries.h"
#include "proxy/dev/connect_ca.h"
#include "proxy/dev/documents.h"
#include "proxy/dev/intentions.h"
#include "proxy/dev/like.h"
#include "proxy/dev/queries.h"
#include "proxy/http/server.h"
#include "proxy/log/log.h"

namespace mooring::dev {

struct AgentOptions {
  std::string datacenter = "dc1";
  std::string node = "mooring-dev";
  Like like = Like::kCurrent;
  // Of ACLs; dev has none, but answers and decides as if it had them.
  authz::DefaultPolicy default_policy = authz::DefaultPolicy::kAllow;
  // Consul's default_intention_policy; kUnknown: not set, ACLs' counts.
  authz::DefaultPolicy default_intention_policy = authz::DefaultPolicy::kUnknown;
  std::chrono::seconds leaf_lifetime = kLeafLifetime;
};

class Agent final {
 public:
  // Make fails if the CA cannot be made. The logger outlives the agent.
  static Result<std::unique_ptr<Agent>> Make(net::Loop& loop, AgentOptions options, log::Log& log);
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // Handle answers one request, maybe later.
  void Handle(const http::ServerRequest& request, http::Server::Reply reply);

  const std::string& trust_domain() const { return ca_->trust_domain(); }

 private:
  // Call is one request on its way through a handler. `rest` is what follows the route's path.
  struct Call {
    const http::ServerRequest& request;
    std::string rest;
    http::Server::Reply reply;
  };
  struct Route {
    const char* method;
    const char* path;  // with a final slash: `rest` follows
    void (Agent::*handler)(const Call&);
  };
  static std::span<const Route> Routes();

  Agent(net::Loop& loop, AgentOptions options, log::Log& log);

  bool IsOld() const { return options_.like == Like::kOld; }
  // HasAcls: it answers as if it had them.
  bool HasAcls() const { return options_.default_policy != authz::DefaultPolicy::kAllow; }
  // AllowsByDefault: what holds for a caller that no intention covers.
  bool AllowsByDefault() const;

  // Answers. Every one ends the call. All are made by Response, which adds what every answer
  // carries.
  http::ServerResponse Response(int status, const char* content_type, std::string body) const;
  http::ServerResponse JsonResponse(const http::ServerRequest& request, const Json& document) const;
  void AnswerText(const Call& call, int status, const std::string& text);
  void AnswerJson(const Call& call, const Json& document);
  void AnswerDone(const Call& call);  // 200 without a body
  // AnswerBad is a 400, which 1.8 begins with words of its own.
  void AnswerBad(const Call& call, const std::string& text);

  // Meta is what an answer says about itself in headers, besides its index. 1.8 says the same
  // always.
  enum class Meta {
    kServer,  // a server's state, and how consistent it is
    kPlain,   // without the latter
    kCached,  // the agent's cache of it
    kLeaf,    // the agent's own
    kNone,    // not even an index
  };
  void PutMeta(http::ServerResponse& response, std::uint64_t index, Meta meta) const;
  // AnswerIndexed answers a request that may be a blocking query: `index` is the present index of
  // what was asked for, `document` its present content; null: it is not there, which is a 404 with
  // the text `missing`, where one is given.
  void AnswerIndexed(const Call& call, std::function<std::uint64_t()> index,
                     std::function<Json()> document, Meta meta, std::string missing = {});
  // WaitOf reads `wait`; nothing if it was bad and has been answered.
  std::optional<net::milliseconds> WaitOf(const Call& call);

  // handlers_agent.cc
  void ListServices(const Call& call);
  void GetService(const Call& call);
  void RegisterService(const Call& call);
  void DeregisterService(const Call& call);
  void ListChecks(const Call& call);
  void PassCheck(const Call& call);
  void WarnCheck(const Call& call);
  void FailCheck(const Call& call);
  void UpdateCheck(const Call& call);
  void Heartbeat(const Call& call, const std::string& status, const std::string& output);
  void Maintain(const Call& call);
  // HashOf is the ContentHash of a service as it is answered now.
  std::string HashOf(const Service& service) const;
  // handlers_node.cc
  void GetSelf(const Call& call);
  void GetMembers(const Call& call);
  void GetLeader(const Call& call);
  void GetPeers(const Call& call);
  void GetCaConfiguration(const Call& call);
  void GetKey(const Call& call);
  Json MemberDocument() const;
  Json StatsDocument() const;
  // handlers_catalog.cc
  void CatalogNodes(const Call& call);
  void HealthService(const Call& call);
  void HealthConnect(const Call& call);
  void CatalogServices(const Call& call);
  void CatalogService(const Call& call);
  void CatalogConnect(const Call& call);
  void Health(const Call& call, Role role);
  void Catalog(const Call& call, Role role);
  // handlers_connect.cc
  void GetRoots(const Call& call);
  void GetLeaf(const Call& call);
  void Authorize(const Call& call);
  std::string ReasonFor(const StoredIntention* decided) const;  // null: the default decided
  // handlers_config.cc
  void GetConfig(const Call& call);
  void PutConfig(const Call& call);
  void DeleteConfig(const Call& call);
  void GetChain(const Call& call);
  Result<std::optional<std::uint64_t>> CasOf(const Call& call) const;
  std::uint64_t EntryIndex(const std::string& kind, const std::string& name) const;
  Status StoreEntry(const std::string& kind, const std::string& name, Json entry);
  // handlers_intentions.cc
  void ListIntentions(const Call& call);
  void CreateIntention(const Call& call);
  void GetIntention(const Call& call);
  void UpdateIntention(const Call& call);
  void DeleteIntention(const Call& call);
  void MatchIntentions(const Call& call);
  void CheckIntention(const Call& call);
  void GetExactIntention(const Call& call);
  void PutExactIntention(const Call& call);
  void DeleteExactIntention(const Call& call);
  // handlers_query.cc
  void ListQueries(const Call& call);
  void CreateQuery(const Call& call);
  void GetQuery(const Call& call);
  void UpdateQuery(const Call& call);
  void DeleteQuery(const Call& call);
  void ExecuteQuery(const Call& call, const std::string& id_or_name);

  // Changed asks for one round of follow-up (checks, waiting requests) after the event under way.
  void Changed();

  net::Loop& loop_;
  const AgentOptions options_;
  log::Log& log_;
  const Node node_;
  Index index_;
  State state_;
  ConfigEntries entries_;
  Intentions intentions_;
  Queries queries_;
  const Documents documents_;
  std::unique_ptr<ConnectCa> ca_;
  CheckRunner checks_;
  Blocker blocker_;
  net::Timer follow_up_;
};

}  // namespace mooring::dev
