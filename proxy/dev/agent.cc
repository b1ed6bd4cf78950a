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

constexpr const char* kTextType = "text/plain; charset=utf-8";
constexpr const char* kJsonType = "application/json";

}  // namespace

std::span<const Agent::Route> Agent::Routes() {
  // The first that fits counts: exact paths before those that end in a slash.
  static constexpr Route kRoutes[] = {
      {"GET", "/v1/agent/services", &Agent::ListServices},
      {"GET", "/v1/agent/checks", &Agent::ListChecks},
      {"GET", "/v1/agent/self", &Agent::GetSelf},
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
      {"GET", "/v1/health/service/", &Agent::HealthService},
      {"GET", "/v1/health/connect/", &Agent::HealthConnect},
      {"GET", "/v1/catalog/services", &Agent::CatalogServices},
      {"GET", "/v1/catalog/service/", &Agent::CatalogService},
      {"GET", "/v1/catalog/connect/", &Agent::CatalogConnect},
      {"GET", "/v1/status/leader", &Agent::GetLeader},
      {"GET", "/v1/query", &Agent::ListQueries},
      {"POST", "/v1/query", &Agent::CreateQuery},
      {"GET", "/v1/query/", &Agent::GetQuery},
      {"PUT", "/v1/query/", &Agent::UpdateQuery},
      {"DELETE", "/v1/query/", &Agent::DeleteQuery},
  };
  return kRoutes;
}

Result<std::unique_ptr<Agent>> Agent::Make(net::Loop& loop, AgentOptions options,
                                           log::Log& log) {
  std::unique_ptr<Agent> agent(new Agent(loop, std::move(options), log));
  auto ca = ConnectCa::Make(loop, agent->index_, agent->options_.datacenter,
                            agent->options_.leaf_lifetime, [raw = agent.get()] { raw->Changed(); });
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
      intentions_(index_, [this] { Changed(); }),
      queries_(index_),
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
  AnswerText(call, 404, "");
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
  return response;
}

http::ServerResponse Agent::JsonResponse(const http::ServerRequest& request,
                                         const Json& document) const {
  return Response(200, kJsonType, Dump(document, request.Query("pretty") != nullptr) + "\n");
}

void Agent::AnswerJson(const Call& call, const Json& document) {
  call.reply(JsonResponse(call.request, document));
}

http::ServerResponse Agent::IndexedResponse(bool pretty, const Json& document,
                                            std::uint64_t index) const {
  http::ServerResponse response = Response(200, kJsonType, Dump(document, pretty) + "\n");
  response.headers["X-Consul-Index"] = std::to_string(index);
  response.headers["X-Consul-KnownLeader"] = "true";
  response.headers["X-Consul-LastContact"] = "0";
  return response;
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
                          std::function<Json()> document) {
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
  auto answer = [this, pretty = call.request.Query("pretty") != nullptr, index,
                 document = std::move(document)] {
    return IndexedResponse(pretty, document(), index());
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
