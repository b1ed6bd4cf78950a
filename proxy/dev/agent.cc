#include "proxy/dev/agent.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "authz/text.h"
#include "proxy/config/duration.h"
#include "proxy/dev/identifier.h"

namespace mooring::dev {
namespace {

// Consul's limits of a blocking query.
constexpr net::milliseconds kDefaultWait{std::chrono::minutes(5)};
constexpr net::milliseconds kMaxWait{std::chrono::minutes(10)};

constexpr const char* kBadRequest = "Bad request: ";
constexpr const char* kTextType = "text/plain; charset=utf-8";
constexpr const char* kJsonType = "application/json";

}  // namespace

std::span<const Agent::Route> Agent::Routes() {
  // The first that fits counts: exact paths before those that end in a slash.
  static constexpr Route kRoutes[] = {
      {"GET", "/v1/agent/services", &Agent::ListServices},
      {"GET", "/v1/agent/checks", &Agent::ListChecks},
      {"GET", "/v1/agent/self", &Agent::GetSelf},
      {"GET", "/v1/agent/members", &Agent::GetMembers},
      {"PUT", "/v1/agent/service/register", &Agent::RegisterService},
      {"PUT", "/v1/agent/service/deregister/", &Agent::DeregisterService},
      {"PUT", "/v1/agent/service/maintenance/", &Agent::Maintain},
      {"GET", "/v1/agent/service/", &Agent::GetService},
      {"PUT", "/v1/agent/check/pass/", &Agent::PassCheck},
      {"PUT", "/v1/agent/check/warn/", &Agent::WarnCheck},
      {"PUT", "/v1/agent/check/fail/", &Agent::FailCheck},
      {"PUT", "/v1/agent/check/update/", &Agent::UpdateCheck},
      {"GET", "/v1/agent/connect/ca/roots", &Agent::GetRoots},
      {"GET", "/v1/agent/connect/ca/leaf/", &Agent::GetLeaf},
      {"POST", "/v1/agent/connect/authorize", &Agent::Authorize},
      {"GET", "/v1/connect/ca/roots", &Agent::GetRoots},
      {"GET", "/v1/connect/ca/configuration", &Agent::GetCaConfiguration},
      {"GET", "/v1/connect/intentions", &Agent::ListIntentions},
      {"POST", "/v1/connect/intentions", &Agent::CreateIntention},
      {"GET", "/v1/connect/intentions/match", &Agent::MatchIntentions},
      {"GET", "/v1/connect/intentions/check", &Agent::CheckIntention},
      {"GET", "/v1/connect/intentions/exact", &Agent::GetExactIntention},
      {"PUT", "/v1/connect/intentions/exact", &Agent::PutExactIntention},
      {"DELETE", "/v1/connect/intentions/exact", &Agent::DeleteExactIntention},
      {"GET", "/v1/connect/intentions/", &Agent::GetIntention},
      {"PUT", "/v1/connect/intentions/", &Agent::UpdateIntention},
      {"DELETE", "/v1/connect/intentions/", &Agent::DeleteIntention},
      {"PUT", "/v1/config", &Agent::PutConfig},
      {"GET", "/v1/config/", &Agent::GetConfig},
      {"DELETE", "/v1/config/", &Agent::DeleteConfig},
      {"GET", "/v1/discovery-chain/", &Agent::GetChain},
      {"GET", "/v1/health/service/", &Agent::HealthService},
      {"GET", "/v1/health/connect/", &Agent::HealthConnect},
      {"GET", "/v1/catalog/nodes", &Agent::CatalogNodes},
      {"GET", "/v1/catalog/services", &Agent::CatalogServices},
      {"GET", "/v1/catalog/service/", &Agent::CatalogService},
      {"GET", "/v1/catalog/connect/", &Agent::CatalogConnect},
      {"GET", "/v1/status/leader", &Agent::GetLeader},
      {"GET", "/v1/status/peers", &Agent::GetPeers},
      {"GET", "/v1/kv/", &Agent::GetKey},
      {"GET", "/v1/query", &Agent::ListQueries},
      {"POST", "/v1/query", &Agent::CreateQuery},
      {"GET", "/v1/query/", &Agent::GetQuery},
      {"PUT", "/v1/query/", &Agent::UpdateQuery},
      {"DELETE", "/v1/query/", &Agent::DeleteQuery},
  };
  return kRoutes;
}

Result<std::unique_ptr<Agent>> Agent::Make(net::Loop& loop, AgentOptions options, log::Log& log) {
  std::unique_ptr<Agent> agent(new Agent(loop, std::move(options), log));
  auto ca = ConnectCa::Make(loop, agent->index_, agent->options_.datacenter,
                            agent->options_.leaf_lifetime, agent->options_.like,
                            [raw = agent.get()] { raw->Changed(); });
  if (!ca) return ca.error();
  agent->ca_ = *std::move(ca);
  return agent;
}

Agent::Agent(net::Loop& loop, AgentOptions options, log::Log& log)
    : loop_(loop),
      options_(std::move(options)),
      log_(log),
      node_{.id = NewUuid(), .name = options_.node, .datacenter = options_.datacenter},
      state_(index_, [this] { Changed(); }),
      // A sidecar's own document and its entries in the catalog are made of them, too.
      entries_(index_,
               [this] {
                 state_.TouchAll();
                 Changed();
               }),
      intentions_(options_.like, index_, [this] { Changed(); }),
      queries_(index_),
      documents_(options_.like, node_, state_, entries_),
      checks_(loop, state_,
              [this](const Check& check) {
                log_.Warn("dev", "service was critical for too long, deregistering it",
                          {{"id", check.service_id}, {"check", check.id}});
              }),
      blocker_(loop),
      follow_up_(loop, [this] {
        checks_.Sync();
        blocker_.Wake();
      }) {}

void Agent::Changed() { follow_up_.Start(net::milliseconds{0}); }

void Agent::Handle(const http::ServerRequest& request, http::Server::Reply reply) {
  if (log_.Enabled(log::Level::kDebug)) {
    log_.Debug("dev", "request", {{"method", request.method}, {"path", request.path}});
  }
  std::string allowed;
  bool exact = false;  // a path of this very name is known: those with a rest are others
  for (const Route& route : Routes()) {
    const std::string_view path = route.path;
    const bool fits = path.ends_with('/') ? request.path.starts_with(path) : request.path == path;
    if (!fits || (!allowed.empty() && path.ends_with('/') && exact)) continue;
    exact |= !path.ends_with('/');
    if (request.method != route.method) {
      allowed += (allowed.empty() ? "" : ",") + std::string(route.method);
      continue;
    }
    const Call call{request, request.path.substr(path.size()), std::move(reply)};
    for (const auto& [parameter, name] :
         {std::pair{"ns", "Namespaces"}, std::pair{"partition", "Partitions"}}) {
      if (IsOld() || request.Query(parameter) == nullptr) continue;
      AnswerText(call, 400,
                 std::string("Invalid query parameter: \"") + parameter + "\" - " + name +
                     " are a Consul Enterprise feature");
      return;
    }
    const std::string* datacenter = request.Query("dc");
    if (datacenter != nullptr && !datacenter->empty() && *datacenter != options_.datacenter) {
      AnswerText(call, 500, "No path to datacenter");
      return;
    }
    if (const std::string* filter = request.Query("filter");
        filter != nullptr && !filter->empty()) {
      AnswerText(call, 400, "mooring dev knows no filter expressions: leave ?filter= out");
      return;
    }
    (this->*route.handler)(call);
    return;
  }
  const Call call{request, "", std::move(reply)};
  if (!allowed.empty()) {
    http::ServerResponse response =
        Response(405, kTextType, "method " + request.method + " not allowed");
    response.headers["Allow"] = allowed;
    call.reply(std::move(response));
    return;
  }
  AnswerText(call, 404, IsOld() ? "" : "Invalid URL path: not a recognized HTTP API endpoint");
}

bool Agent::AllowsByDefault() const {
  const authz::DefaultPolicy policy =
      options_.default_intention_policy != authz::DefaultPolicy::kUnknown
          ? options_.default_intention_policy
          : options_.default_policy;
  return policy == authz::DefaultPolicy::kAllow;
}

void Agent::AnswerText(const Call& call, int status, const std::string& text) {
  call.reply(Response(status, kTextType, text));
}

http::ServerResponse Agent::Response(int status, const char* content_type, std::string body) const {
  http::ServerResponse response;
  response.status = status;
  response.content_type = content_type;
  response.body = std::move(body);
  response.headers["X-Consul-Default-ACL-Policy"] =
      options_.default_policy == authz::DefaultPolicy::kAllow ? "allow" : "deny";
  if (!IsOld()) response.headers["Vary"] = "Accept-Encoding";
  return response;
}

void Agent::AnswerDone(const Call& call) {
  call.reply(Response(200, IsOld() ? kTextType : kJsonType, ""));
}

void Agent::AnswerBad(const Call& call, const std::string& text) {
  AnswerText(call, 400, IsOld() ? kBadRequest + text : text);
}

http::ServerResponse Agent::JsonResponse(const http::ServerRequest& request,
                                         const Json& document) const {
  // An agent that was started with -dev indents whatever it is asked.
  const bool pretty = !IsOld() || request.Query("pretty") != nullptr;
  return Response(200, kJsonType, Dump(document, pretty) + (IsOld() ? "\n" : ""));
}

void Agent::AnswerJson(const Call& call, const Json& document) {
  call.reply(JsonResponse(call.request, document));
}

void Agent::PutMeta(http::ServerResponse& response, std::uint64_t index, Meta meta) const {
  http::Headers& headers = response.headers;
  const bool old = IsOld();
  if (!old && meta == Meta::kNone) return;
  headers["X-Consul-Index"] = std::to_string(index);
  if (!old && (meta == Meta::kCached || meta == Meta::kLeaf)) {
    headers["X-Cache"] = "HIT";
    headers["Age"] = "0";
  }
  if (!old && meta == Meta::kLeaf) return;
  headers["X-Consul-KnownLeader"] = "true";
  headers["X-Consul-LastContact"] = "0";
  if (old) return;
  headers["X-Consul-Query-Backend"] = "blocking-query";
  if (meta == Meta::kServer) headers["X-Consul-Effective-Consistency"] = "leader";
}

std::optional<net::milliseconds> Agent::WaitOf(const Call& call) {
  const std::string* text = call.request.Query("wait");
  if (text == nullptr || text->empty()) return kDefaultWait;
  const auto wait = config::ParseDuration(*text);
  if (!wait) {
    AnswerText(call, 400, "Invalid wait time");
    return std::nullopt;
  }
  return wait->count() == 0 ? kDefaultWait : std::min(*wait, kMaxWait);
}

void Agent::AnswerIndexed(const Call& call, std::function<std::uint64_t()> index,
                          std::function<Json()> document, Meta meta, std::string missing) {
  const auto wait = WaitOf(call);
  if (!wait) return;
  std::uint64_t known = 0;
  if (const std::string* text = call.request.Query("index"); text != nullptr && !text->empty()) {
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), known);
    if (error != std::errc{} || end != text->data() + text->size()) {
      AnswerText(call, 400, "Invalid index");
      return;
    }
  }
  http::ServerRequest asked;  // of which the look of the answer depends on the query alone
  asked.query = call.request.query;
  auto answer = [this, asked, index, meta, document = std::move(document),
                 missing = std::move(missing)] {
    const Json content = document();
    http::ServerResponse response = content.is_null() && !missing.empty()
                                        ? Response(404, kTextType, missing)
                                        : JsonResponse(asked, content);
    PutMeta(response, index(), meta);
    return response;
  };
  // An index from the future waits too, and learns the right one at the end of its wait, as with
  // Consul.
  if (known == 0 || index() > known) {
    call.reply(answer());
    return;
  }
  blocker_.Park(
      call.reply, *wait, [index, known] { return index() > known; }, std::move(answer));
}

}  // namespace mooring::dev
