// The part of the API about prepared queries.
#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "proxy/dev/agent.h"
#include "proxy/dev/identifier.h"

namespace mooring::dev {
namespace {

constexpr std::string_view kExecute = "/execute";

bool HasTags(const Service& service, const std::vector<std::string>& tags) {
  return std::all_of(tags.begin(), tags.end(), [&](const std::string& tag) {
    const bool unwanted = tag.starts_with('!');
    const bool there = std::find(service.tags.begin(), service.tags.end(),
                                 unwanted ? tag.substr(1) : tag) != service.tags.end();
    return there != unwanted;
  });
}

}  // namespace

void Agent::ListQueries(const Call& call) {
  Json out = Json::array();
  for (const auto& [id, query] : queries_.all()) out.push_back(query.Document());
  AnswerJson(call, out);
}

void Agent::CreateQuery(const Call& call) {
  auto parsed = ParseQuery(call.request.body);
  if (parsed && !parsed->id.empty()) {
    AnswerText(call, 500, "ID must be empty when creating a new prepared query");
    return;
  }
  const auto id = parsed ? queries_.Put(*std::move(parsed)) : Result<std::string>(parsed.error());
  if (!id) {
    AnswerText(call, 500, id.error().message);
    return;
  }
  AnswerJson(call, {{"ID", *id}});
}

void Agent::GetQuery(const Call& call) {
  if (call.rest.ends_with(kExecute)) {
    ExecuteQuery(call, call.rest.substr(0, call.rest.size() - kExecute.size()));
    return;
  }
  if (!IsUuid(call.rest)) {
    AnswerText(call, 500, "failed prepared query lookup: index error: UUID must be 36 characters");
    return;
  }
  const PreparedQuery* query = queries_.Find(call.rest);
  if (query == nullptr) {
    AnswerText(call, 404, "Query not found");
    return;
  }
  AnswerJson(call, Json::array({query->Document()}));
}

void Agent::UpdateQuery(const Call& call) {
  auto parsed = ParseQuery(call.request.body);
  if (parsed) parsed->id = call.rest;
  const auto id = parsed ? queries_.Put(*std::move(parsed)) : Result<std::string>(parsed.error());
  if (!id) {
    AnswerText(call, 500, id.error().message);
    return;
  }
  AnswerDone(call);
}

void Agent::DeleteQuery(const Call& call) {
  if (!queries_.Delete(call.rest)) {
    AnswerText(call, 404, "Query not found");
    return;
  }
  AnswerDone(call);
}

void Agent::ExecuteQuery(const Call& call, const std::string& id_or_name) {
  const PreparedQuery* query = queries_.FindByIdOrName(id_or_name);
  if (query == nullptr) {
    http::ServerResponse response = Response(404, "text/plain; charset=utf-8", "Query not found");
    if (!IsOld()) {
      PutMeta(response, 1, Meta::kPlain);
      response.headers["X-Consul-KnownLeader"] = "false";
    }
    call.reply(std::move(response));
    return;
  }
  std::size_t limit = std::numeric_limits<std::size_t>::max();
  if (const std::string* text = call.request.Query("limit"); text != nullptr && !text->empty()) {
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), limit);
    if (error != std::errc{} || end != text->data() + text->size()) {
      AnswerText(call, 400, "Bad limit: not a number");
      return;
    }
    if (limit == 0) limit = std::numeric_limits<std::size_t>::max();
  }
  const std::string* connect = call.request.Query("connect");
  const bool wants_connect =
      query->connect || (connect != nullptr && (*connect == "true" || *connect == "1"));
  Json nodes = Json::array();
  for (const Service* service :
       Instances(state_, query->service, wants_connect ? Role::kConnect : Role::kApplication)) {
    const std::string status = WorstStatus(state_, *service);
    if (status == kCritical || (query->only_passing && status != kPassing)) continue;
    if (HasTags(*service, query->tags) && nodes.size() < limit) {
      nodes.push_back(documents_.Health(*service, Documents::From::kQuery));
    }
  }
  Json out = {{"Service", query->service},
              {"Nodes", std::move(nodes)},
              {"DNS", {{"TTL", query->ttl}}},
              {"Datacenter", options_.datacenter},
              {"Failovers", 0},
              {"Index", IsOld() ? 0 : 1},
              {"LastContact", 0},
              {"KnownLeader", true},
              {"ConsistencyLevel", "leader"}};
  if (!IsOld()) {
    out["PeerName"] = "";
    out["NotModified"] = false;
    out["Backend"] = 0;
    out["ResultsFilteredByACLs"] = false;
  }
  http::ServerResponse response = JsonResponse(call.request, out);
  PutMeta(response, 1, Meta::kServer);  // a query cannot be waited for, with Consul neither
  call.reply(std::move(response));
}

}  // namespace mooring::dev
