// The part of the API that proxies live on: roots, leafs, authorize.
#include "authz/spiffe.h"
#include "proxy/dev/agent.h"

namespace mooring::dev {
namespace {

// IsOtherIdentity: a name of this world that is no service's, such as an agent's or the CA's own.
bool IsOtherIdentity(const std::string& uri) {
  constexpr std::string_view kScheme = "spiffe://";
  if (!uri.starts_with(kScheme)) return false;
  const std::size_t slash = uri.find('/', kScheme.size());
  const std::string domain = uri.substr(kScheme.size(), slash - kScheme.size());
  if (!authz::IsTrustDomain(domain)) return false;
  return slash == std::string::npos || uri.find("/agent/client/", slash) != std::string::npos;
}

}  // namespace

void Agent::GetRoots(const Call& call) {
  AnswerIndexed(
      call, [this] { return ca_->roots_index(); }, [this] { return ca_->RootsDocument(); },
      Meta::kCached);
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
      [this, service] { return ca_->LeafDocument(service); }, Meta::kLeaf);
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
    AnswerBad(call, "Request decode failed: " + fault);
    return;
  }
  if (target.empty()) {
    AnswerBad(call, "Target service must be specified");
    return;
  }
  const auto source = authz::ParseServiceId(uri);
  if (!source) {
    AnswerBad(call, std::string("ClientCertURI not a valid ") +
                        (IsOtherIdentity(uri) ? "Service" : "Connect") + " identifier");
    return;
  }
  // Trust domain and serial number take no part, as with Consul: the proxy has verified the
  // certificate.
  const StoredIntention* decided =
      intentions_.Decide(source->ns, source->service, "default", target);
  const bool allowed = decided != nullptr ? decided->Allows() : AllowsByDefault();
  http::ServerResponse response =
      JsonResponse(call.request, {{"Authorized", allowed}, {"Reason", ReasonFor(decided)}});
  if (!IsOld()) response.headers["X-Cache"] = "MISS";
  call.reply(std::move(response));
}

std::string Agent::ReasonFor(const StoredIntention* decided) const {
  if (decided != nullptr && IsOld()) return "Matched intention: " + decided->Text(options_.like);
  if (decided != nullptr) {
    return (decided->permissions.is_null() ? "Matched L4 intention: " : "Matched L7 intention: ") +
           decided->Text(options_.like);
  }
  if (options_.default_intention_policy != authz::DefaultPolicy::kUnknown)
    return "Default intention policy";
  if (IsOld() && AllowsByDefault()) return "ACLs disabled, access is allowed by default";
  return "Default behavior configured by ACLs";
}

}  // namespace mooring::dev
