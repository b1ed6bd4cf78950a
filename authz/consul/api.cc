// Identity and authorization: leaf, roots, intentions, authorize.
#include "authz/consul/api.h"

#include <limits>
#include <utility>

#include "authz/consul/json_reader.h"
#include "authz/text.h"

namespace mooring::authz {
namespace {

std::string TextOr(const json::Object& object, std::string_view key, std::string_view absent) {
  std::string text = object.Text(key);
  return text.empty() ? std::string(absent) : text;
}

// L7Requirement says why an entry's verdict needs more than a proven identity; empty if it does
// not.
std::string L7Requirement(const json::Object& entry) {
  if (!entry.Objects("Permissions").empty()) return "L7 permissions";
  // Whatever it holds, an empty object too: somebody wrote it to demand something.
  if (entry.IsSet("JWT")) return "JWT requirement";
  return {};
}

Intention ReadIntention(const json::Object& entry, const std::string& name) {
  Intention intention;
  intention.id = entry.Text("ID");
  intention.source_partition = entry.Text("SourcePartition");
  intention.source_ns = TextOr(entry, "SourceNS", "default");
  intention.source_name = entry.NeededText("SourceName");
  intention.source_peer = entry.Text("SourcePeer");
  intention.source_sameness_group = entry.Text("SourceSamenessGroup");
  intention.destination_partition = entry.Text("DestinationPartition");
  intention.destination_ns = TextOr(entry, "DestinationNS", "default");
  intention.destination_name = entry.NeededText("DestinationName");
  if (intention.destination_name != "*" && !EqualIgnoringCase(intention.destination_name, name)) {
    entry.Fail("DestinationName", "names another service than the one asked for");
  }

  // 0 (or absent) has IntentionSet work the number out.
  const std::int64_t precedence = entry.Integer("Precedence", 0);
  if (precedence < 0 || precedence > std::numeric_limits<int>::max()) {
    entry.Fail("Precedence", "is out of range");
  } else {
    intention.precedence = static_cast<int>(precedence);
  }

  const std::string action = entry.Text("Action");
  intention.action = action == "allow" ? Action::kAllow : Action::kDeny;
  const std::string source_type = TextOr(entry, "SourceType", "consul");
  intention.unjudgeable = L7Requirement(entry);
  if (!intention.unjudgeable.empty()) return intention;
  if (source_type != "consul") {
    intention.unjudgeable = "source type \"" + Shortened(source_type) + "\"";
  } else if (action.empty()) {
    intention.unjudgeable = "no action";
  } else if (action != "allow" && action != "deny") {
    intention.unjudgeable = "action \"" + Shortened(action) + "\"";
  } else if (!intention.source_sameness_group.empty()) {
    intention.unjudgeable = "sameness group source";
  }
  return intention;
}

}  // namespace

Result<LeafDocument> ParseLeaf(std::string_view body) {
  json::Document document("leaf certificate answer", body);
  json::Object root = document.Root();
  LeafDocument leaf;
  leaf.certificate_pem = root.NeededText("CertPEM");
  leaf.private_key_pem = root.TakeNeededText("PrivateKeyPEM");
  if (document.error()) return *document.error();
  return leaf;
}

Result<RootsDocument> ParseRoots(std::string_view body) {
  json::Document document("CA roots answer", body);
  const json::Object root = document.Root();
  RootsDocument roots;
  roots.trust_domain = root.NeededText("TrustDomain");
  if (!IsTrustDomain(roots.trust_domain)) {
    root.Fail("TrustDomain", "is not a SPIFFE trust domain (a-z, 0-9, '.', '-' and '_')");
  }
  for (const json::Object& entry : root.Objects("Roots")) {
    roots.pems.push_back(entry.NeededText("RootCert"));
  }
  if (roots.pems.empty()) root.Fail("Roots", "is empty: the mesh CA is not initialized yet");
  if (document.error()) return *document.error();
  return roots;
}

Result<std::vector<Intention>> ParseIntentionMatch(std::string_view body, const std::string& name) {
  json::Document document("intention match answer", body);
  const json::Object root = document.Root();
  std::vector<Intention> intentions;
  // The key itself must be there: {} is not an empty list but an answer to another question.
  if (!root.Has(name)) root.Fail(name, "is missing: it is the service that was asked for");
  for (const json::Object& entry : root.Objects(name)) {
    intentions.push_back(ReadIntention(entry, name));
  }
  if (document.error()) return *document.error();
  return intentions;
}

Result<std::string> ParseTokenAccessor(std::string_view body) {
  json::Document document("token answer", body);
  std::string accessor = document.Root().Text("AccessorID");
  if (document.error()) return *document.error();
  if (accessor.empty()) return Invalid("token answer: AccessorID is missing");
  return Shortened(accessor);
}

Result<AuthorizeAnswer> ParseAuthorize(std::string_view body) {
  json::Document document("authorize answer", body);
  const json::Object root = document.Root();
  AuthorizeAnswer answer;
  answer.authorized = root.NeededFlag("Authorized");
  answer.reason = root.Text("Reason");
  if (document.error()) return *document.error();
  return answer;
}

}  // namespace mooring::authz
