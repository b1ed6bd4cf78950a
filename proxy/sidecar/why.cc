// Sidecar::Why: /why, what would become of a connection between two services and why. What a
// service says of it is service_why.cc's; what Consul says of it is asked here.
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "authz/text.h"
#include "proxy/sidecar/sidecar.h"

namespace mooring::sidecar {
namespace {

using nlohmann::json;

constexpr std::size_t kQuestions = 4;  // to Consul at once; more are answered without it
constexpr char kGives[] = "it takes intentions:read on the destination";

// Consul's own check: it knows intentions that we do not see, and not each default.
constexpr char kCheckNote[] =
    "the agent's check API, which leaves default_intention_policy out of account";

std::string Written(const json& document) {
  return document.dump(2, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
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
