// The part of the API about this agent itself: services, checks, maintenance.
#include <optional>
#include <utility>

#include "authz/text.h"
#include "proxy/dev/agent.h"
#include "proxy/dev/identifier.h"
#include "proxy/dev/registration.h"

namespace mooring::dev {
namespace {

// TruthOf reads Go's spellings of a bool.
std::optional<bool> TruthOf(const std::string& text) {
  for (const char* yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == yes) return true;
  }
  for (const char* no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

std::string NoSuchService(const std::string& id) {
  return "Unknown service ID \"" + id +
         "\". Ensure that the service ID is passed, not the service name.";
}

}  // namespace

std::string Agent::HashOf(const Service& service) const {
  return ContentHash(Dump(documents_.AgentService(service)));
}

void Agent::ListServices(const Call& call) {
  Json out = Json::object();
  for (const auto& [id, service] : state_.services()) out[id] = documents_.AgentService(service);
  AnswerJson(call, out);
}

void Agent::GetService(const Call& call) {
  const std::string id = call.rest;
  const auto wait = WaitOf(call);
  if (!wait) return;
  http::ServerRequest asked;
  asked.query = call.request.query;
  auto answer = [this, id, asked] {
    const Service* service = state_.FindService(id);
    if (service == nullptr)
      return Response(404, "text/plain; charset=utf-8", "unknown service ID: " + id);
    Json document = documents_.AgentService(*service);
    const std::string hash = HashOf(*service);
    document["ContentHash"] = hash;
    http::ServerResponse response = JsonResponse(asked, document);
    response.headers["X-Consul-ContentHash"] = hash;
    return response;
  };
  const auto changed = [this, id](const std::string& known) {
    const Service* service = state_.FindService(id);
    return service == nullptr || HashOf(*service) != known;
  };
  const std::string* known = call.request.Query("hash");
  if (known == nullptr || known->empty() || changed(*known)) {
    call.reply(answer());
    return;
  }
  blocker_.Park(
      call.reply, *wait, [changed, hash = *known] { return changed(hash); }, std::move(answer));
}

void Agent::RegisterService(const Call& call) {
  Result<Registration> parsed = ParseRegistration(call.request.body, options_.like);
  if (!parsed) {
    AnswerText(call, 400, parsed.error().message);
    return;
  }
  Registration& registration = *parsed;
  Service& sidecar = registration.sidecar;
  if (registration.has_sidecar && sidecar.port == 0) {
    const Service* before = state_.FindService(sidecar.id);
    sidecar.port = before != nullptr && before->port != 0 ? before->port : state_.FreePort();
    if (sidecar.port == 0) {
      AnswerText(call, 400,
                 "none of the ports 21000 to 21255 is free for a sidecar: give it a Port");
      return;
    }
  }
  if (registration.has_sidecar && registration.sidecar_checks.empty()) {
    registration.sidecar_checks = SidecarChecks(sidecar);
  }
  const std::string* replace = call.request.Query("replace-existing-checks");
  const bool replace_checks =
      replace != nullptr && (replace->empty() || TruthOf(*replace).value_or(false));
  for (const auto* checks : {&registration.checks, &registration.sidecar_checks}) {
    for (const Check& check : *checks) {
      if (check.type == "http" || check.type == "grpc" || check.type == "script") {
        log_.Warn("dev", "checks of this type are not run here and count as passing",
                  {{"type", check.type}, {"check", check.id}});
      }
    }
  }
  const Service& service = registration.service;
  log_.Info("dev", "service registered",
            {{"id", service.id},
             {"name", service.name},
             {"kind", service.kind},
             {"port", std::to_string(service.port)}});
  state_.Register(service, std::move(registration.checks), replace_checks);
  if (registration.has_sidecar) {
    log_.Info("dev", "sidecar registered",
              {{"id", sidecar.id}, {"name", sidecar.name}, {"port", std::to_string(sidecar.port)}});
    state_.Register(std::move(sidecar), std::move(registration.sidecar_checks), replace_checks);
  }
  AnswerDone(call);
}

void Agent::DeregisterService(const Call& call) {
  if (call.rest.empty()) {
    AnswerText(call, 500, "ServiceID missing");
    return;
  }
  if (state_.Deregister(call.rest)) {
    log_.Info("dev", "service deregistered", {{"id", call.rest}});
  } else if (!IsOld()) {  // no error to Consul 1.8: what should be gone is gone
    AnswerText(call, 404, NoSuchService(call.rest));
    return;
  }
  AnswerDone(call);
}

void Agent::ListChecks(const Call& call) {
  Json out = Json::object();
  for (const auto& [id, check] : state_.checks()) out[id] = documents_.AgentCheck(check);
  AnswerJson(call, out);
}

void Agent::Heartbeat(const Call& call, const std::string& status, const std::string& output) {
  if (!IsOld() && !state_.checks().contains(call.rest)) {
    AnswerText(call, 404,
               "Unknown check ID \"" + call.rest +
                   "\". Ensure that the check ID is passed, not the check name.");
    return;
  }
  if (!state_.Heartbeat(call.rest, status, output)) {
    AnswerText(call, 500, "CheckID \"" + call.rest + "\" does not have associated TTL");
    return;
  }
  AnswerDone(call);
}

void Agent::PassCheck(const Call& call) {
  const std::string* note = call.request.Query("note");
  Heartbeat(call, kPassing, note != nullptr ? *note : "");
}

void Agent::WarnCheck(const Call& call) {
  const std::string* note = call.request.Query("note");
  Heartbeat(call, kWarning, note != nullptr ? *note : "");
}

void Agent::FailCheck(const Call& call) {
  const std::string* note = call.request.Query("note");
  Heartbeat(call, kCritical, note != nullptr ? *note : "");
}

void Agent::UpdateCheck(const Call& call) {
  const Result<Json> body = ParseBody(call.request.body);
  std::string fault = body ? "" : body.error().message;
  std::string status;
  std::string output;
  if (body) {
    const Fields fields(&*body, "", &fault);
    status = fields.Text("Status");
    output = fields.Text("Output");
  }
  if (!fault.empty()) {
    AnswerText(call, 400, "Request decode failed: " + fault);
    return;
  }
  if (status != kPassing && status != kWarning && status != kCritical) {
    AnswerText(call, 400, "Invalid check status: '" + status + "'");
    return;
  }
  Heartbeat(call, status, output);
}

void Agent::Maintain(const Call& call) {
  if (call.rest.empty()) {
    AnswerText(call, 400, "Missing service ID");
    return;
  }
  const std::string* enable = call.request.Query("enable");
  if (enable == nullptr || enable->empty()) {
    AnswerText(call, 400, "Missing value for enable");
    return;
  }
  const std::optional<bool> on = TruthOf(*enable);
  if (!on) {
    AnswerText(call, 400, "Invalid value for enable: \"" + *enable + "\"");
    return;
  }
  const std::string* reason = call.request.Query("reason");
  if (!state_.SetMaintenance(call.rest, *on, reason != nullptr ? *reason : "")) {
    AnswerText(
        call, 404,
        IsOld() ? "No service registered with ID \"" + call.rest + '"' : NoSuchService(call.rest));
    return;
  }
  log_.Info("dev", "service maintenance", {{"id", call.rest}, {"on", *on ? "true" : "false"}});
  AnswerDone(call);
}

}  // namespace mooring::dev
