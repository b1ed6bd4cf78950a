// The part of the API that proxies live on: roots, leafs, authorize.
#include "authz/spiffe.h"
#include "proxy/dev/agent.h"

namespace mooring::dev {

void Agent::GetRoots(const Call& call) {
  AnswerIndexed(
      call, [this] { return ca_->roots_index(); }, [this] { return ca_->RootsDocument(); });
}

void Agent::GetLeaf(const Call& call) {
  const std::string service = call.rest;
  if (const Status status = ca_->EnsureLeaf(service); !status) {
    AnswerText(call, status.error().code == ErrorCode::kInvalid ? 400 : 500,
               status.error().message);
    return;
  }
  AnswerIndexed(
      call, [this, service] { return ca_->LeafIndex(service); },
      [this, service] { return ca_->LeafDocument(service); });
}

void Agent::Authorize(const Call& call) {
  const Result<Json> body = ParseBody(call.request.body);
  std::string fault = body ? "" : body.error().message;
  std::string target;
  std::string uri;
  if (body) {
    const Fields fields(&*body, "", &fault);
    target = fields.Text("Target");
    uri = fields.Text("ClientCertURI");
  }
  if (!fault.empty()) {
    AnswerText(call, 400, "Bad request: Request decode failed: " + fault);
    return;
  }
  if (target.empty()) {
    AnswerText(call, 400, "Bad request: Target service must be specified");
    return;
  }
  const auto source = authz::ParseServiceId(uri);
  if (!source) {
    AnswerText(call, 400, "Bad request: ClientCertURI not a valid Connect identifier");
    return;
  }
  // Trust domain and serial number take no part, as with Consul: the proxy has verified the
  // certificate.
  const StoredIntention* decided =
      intentions_.Decide(source->ns, source->service, "default", target);
  if (decided != nullptr) {
    AnswerJson(call, {{"Authorized", decided->rule.action == authz::Action::kAllow},
                      {"Reason", "Matched intention: " + decided->Text()}});
    return;
  }
  const bool allow = options_.default_policy == authz::DefaultPolicy::kAllow;
  AnswerJson(call, {{"Authorized", allow},
                    {"Reason", allow ? "ACLs disabled, access is allowed by default"
                                     : "Default behavior configured by ACLs"}});
}

}  // namespace mooring::dev
