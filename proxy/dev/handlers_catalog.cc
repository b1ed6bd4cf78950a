// The part of the API about the datacenter's services: health and catalog. Blocking by index.
#include <algorithm>
#include <set>

#include "proxy/dev/agent.h"

namespace mooring::dev {

void Agent::Health(const Call& call, Role role) {
  if (call.rest.empty()) {
    AnswerText(call, 400, "Missing service name");
    return;
  }
  bool passing = false;
  if (const std::string* text = call.request.Query("passing")) {
    if (!text->empty() && *text != "true" && *text != "1" && *text != "false" && *text != "0") {
      AnswerText(call, 400, "Invalid value for ?passing");
      return;
    }
    passing = *text != "false" && *text != "0";
  }
  std::vector<std::string> tags;
  const auto [first, last] = call.request.query.equal_range("tag");
  for (auto tag = first; tag != last; ++tag) tags.push_back(tag->second);
  const std::string name = call.rest;
  // There are no peers here, so none of their instances either.
  const std::string* peer = call.request.Query("peer");
  const bool elsewhere = peer != nullptr && !peer->empty();
  AnswerIndexed(
      call, [this, name] { return state_.HealthIndex(name); },
      [this, name, role, passing, tags, elsewhere] {
        Json out = Json::array();
        if (elsewhere) return out;
        for (const Service* service : Instances(state_, name, role)) {
          if (passing && WorstStatus(state_, *service) != kPassing) continue;
          const bool tagged = std::all_of(tags.begin(), tags.end(), [&](const std::string& tag) {
            return std::find(service->tags.begin(), service->tags.end(), tag) !=
                   service->tags.end();
          });
          if (tagged) out.push_back(documents_.Health(*service));
        }
        return out;
      },
      Meta::kServer);
}

void Agent::HealthService(const Call& call) {
  const std::string* connect = call.request.Query("connect");
  Health(call, connect != nullptr && (*connect == "true" || *connect == "1") ? Role::kConnect
                                                                             : Role::kApplication);
}

void Agent::HealthConnect(const Call& call) { Health(call, Role::kConnect); }

void Agent::Catalog(const Call& call, Role role) {
  if (call.rest.empty()) {
    AnswerText(call, 400, "Missing service name");
    return;
  }
  const std::string name = call.rest;
  AnswerIndexed(
      call, [this, name] { return state_.HealthIndex(name); },
      [this, name, role] {
        Json out = Json::array();
        for (const Service* service : Instances(state_, name, role)) {
          out.push_back(documents_.Catalog(*service));
        }
        return out;
      },
      Meta::kServer);
}

void Agent::CatalogNodes(const Call& call) {
  // One node, which stays as it is.
  AnswerIndexed(
      call, [] { return std::uint64_t{1}; },
      [this] { return Json::array({documents_.CatalogNode()}); }, Meta::kServer);
}

void Agent::CatalogService(const Call& call) { Catalog(call, Role::kApplication); }

void Agent::CatalogConnect(const Call& call) { Catalog(call, Role::kConnect); }

void Agent::CatalogServices(const Call& call) {
  // Any change at all ends a wait: more often than need be, as Consul allows.
  AnswerIndexed(
      call, [this] { return index_.value; },
      [this] {
        std::map<std::string, std::set<std::string>> tags{{"consul", {}}};
        for (const auto& [id, service] : state_.services()) {
          tags[service.name].insert(service.tags.begin(), service.tags.end());
        }
        return Json(tags);
      },
      Meta::kServer);
}

}  // namespace mooring::dev
