// Sidecar::Why: /why, what would become of a connection between two services and why. What a
// service says of it is service_why.cc's; what Consul says of it is asked here.
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "authz/rfc3339.h"
#include "authz/spiffe.h"
#include "authz/text.h"
#include "proxy/observe/advice.h"
#include "proxy/observe/ends.h"
#include "proxy/observe/flow_metrics.h"
#include "proxy/sidecar/sidecar.h"
#include "proxy/sidecar/status_parts.h"

namespace mooring::sidecar {
namespace {

using nlohmann::json;

constexpr std::size_t kQuestions = 4;  // to Consul at once; more are answered without it
constexpr char kGives[] = "it takes intentions:read on the destination";

// Consul's own check: it knows intentions that we do not see, and not each default.
constexpr char kCheckNote[] =
    "the agent's check API, which leaves default_intention_policy out of account";

// NameOf is the service in what may be a SPIFFE ID.
std::string NameOf(const std::string& given) {
  const auto id = authz::ParseServiceId(given);
  return id ? id->service : given;
}

json EndsJson(const observe::Recent& recent, const std::string& source,
              const std::string& destination) {
  json out = json::array();
  const observe::Recent::Answer known = recent.Ask({});
  // Refusals are kept longer than the ends of good connections: what both lists have comes once.
  std::vector<std::shared_ptr<const observe::Account>> all = known.ended;
  for (const auto& one : known.failed) {
    if (std::find(all.begin(), all.end(), one) == all.end()) all.push_back(one);
  }
  for (const observe::End& end : observe::EndsBetween(all, source, destination)) {
    const data::Record& record = end.last->report.record;
    const observe::Advice advice = observe::AdviceOn(*record.reason, record.kind);
    out.push_back({{"ended", authz::Rfc3339(end.last->time)},
                   {"direction", observe::DirectionName(record.kind)},
                   {"times", end.times},
                   {"perhaps", end.perhaps},
                   {"reason", data::CloseReasonName(*record.reason)},
                   {"detail", record.detail},
                   {"decided_by", record.decided_by},
                   {"peer", record.peer.length() == 0 ? std::string() : record.peer.Text()},
                   {"endpoint", record.endpoint ? record.endpoint->Text() : std::string()},
                   {"means", observe::WithNames(advice.means, source, destination)},
                   {"next", observe::WithNames(advice.next, source, destination)}});
  }
  return out;
}

bool Holds(const json& answer) {
  const json& steps = answer.at("steps");
  return std::none_of(steps.begin(), steps.end(),
                      [](const json& step) { return step.at("holds") == "no"; });
}

}  // namespace

void Sidecar::Why(const std::string& source, const std::string& destination,
                  admin::Admin::Sources::Done done) {
  json out{{"source", source}, {"destination", destination}, {"answers", json::array()}};
  const Service* asking = nullptr;  // whose token Consul is asked with
  const auto add = [&](const Service& service, const char* direction) {
    json answer{{"service", service.name()}, {"direction", direction}};
    if (direction == std::string_view("inbound")) {
      service.WhyInbound(source, &answer);
    } else {
      service.WhyOutbound(destination, &answer);
    }
    answer["works"] = Holds(answer);
    out["answers"].push_back(std::move(answer));
    if (service.agent() != nullptr) asking = &service;
  };
  for (const auto& service : services_) {
    if (service->IsCalled(destination)) add(*service, "inbound");
    if (service->IsCalled(source) && service->HasUpstream(destination)) add(*service, "outbound");
  }
  out["consul"] = nullptr;
  out["ends"] = json::array();
  if (recorder_) {
    std::string called = NameOf(destination);
    // Our own name may be an instance's: the records have the service's.
    for (const json& answer : out["answers"]) {
      if (const Service* own = Find(answer.at("service"));
          own != nullptr && own->IsCalled(destination))
        called = own->service();
    }
    out["ends"] = EndsJson(recorder_->recent(), NameOf(source), called);
  }
  if (out["answers"].empty()) {
    json& here = out["here"] = json::array();
    for (const auto& service : services_)
      here.push_back({{"service", service->name()}, {"upstreams", service->UpstreamNames()}});
  }
  if (asking == nullptr || why_.size() >= kQuestions) {
    done(Written(out));
    return;
  }
  AskConsul(*asking, std::make_shared<json>(std::move(out)), std::move(done));
}

void Sidecar::AskConsul(const Service& service, const std::shared_ptr<json>& out,
                        admin::Admin::Sources::Done done) {
  control::Agent& agent = *service.agent();
  const auto question = why_.insert(why_.end(), agent.NewAsker());
  const std::string query =
      "source=" + authz::PercentEncoded((*out)["source"].get<std::string>()) +
      "&destination=" + authz::PercentEncoded((*out)["destination"].get<std::string>());
  (*question)->Send(
      agent.NewRequest("GET", "/v1/connect/intentions/check", query),
      [this, question, &agent, out, done = std::move(done)](const Result<http::Response>& answer) {
        json consul{{"allowed", nullptr}, {"note", kCheckNote}, {"error", ""}};
        if (!answer) {
          consul["error"] = answer.error().message;
        } else if (answer->status != 200) {
          consul["error"] =
              Explain(*answer, agent, "the check of an intention", (*question)->AskedWith(), kGives)
                  .message;
        } else if (const json body = json::parse(answer->body, nullptr, /*allow_exceptions=*/false);
                   body.is_object() && body.value("Allowed", json()).is_boolean()) {
          consul["allowed"] = body["Allowed"];
        } else {
          consul["error"] = "the agent's answer cannot be read";
        }
        (*out)["consul"] = std::move(consul);
        const auto said = done;  // this callback goes with its asker
        const std::string text = Written(*out);
        why_.erase(question);
        said(text);
      });
}

}  // namespace mooring::sidecar
