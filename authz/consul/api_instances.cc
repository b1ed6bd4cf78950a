// Discovery: health answers and prepared queries.
#include <algorithm>
#include <optional>
#include <utility>

#include "authz/consul/api.h"
#include "authz/consul/json_reader.h"
#include "authz/text.h"

namespace mooring::authz {
namespace {

constexpr int kMaxWeight = 65535;  // Consul's own limit

// UsablePort is 0 for every port that cannot be dialled; one such entry must not spoil its
// neighbours.
std::uint16_t UsablePort(const json::Object& object) {
  const std::int64_t port = object.Integer("Port", 0);
  return port > 0 && port <= 65535 ? static_cast<std::uint16_t>(port) : std::uint16_t{0};
}

// IsMaintenance: the check is somebody's order.
bool IsMaintenance(const json::Object& check) {
  const std::string id = check.Text("CheckID");
  return id == "_node_maintenance" || id.starts_with("_service_maintenance:");
}

// HasRun: a critical check has looked.
bool HasRun(const json::Object& check) {
  return check.Text("Type") != "alias" && !check.Text("Output").empty();
}

void ReadHealth(const json::Object& entry, const json::Object& service, Instance& instance) {
  bool verdict = false;
  for (const json::Object& check : entry.Objects("Checks")) {
    const std::string status = check.Text("Status");
    if (status == "passing") continue;
    if (status == "warning") {
      instance.warning = true;
      continue;
    }
    instance.critical = true;
    instance.maintenance = instance.maintenance || IsMaintenance(check);
    verdict = verdict || instance.maintenance || HasRun(check);
    if (instance.check_interval.empty()) instance.check_interval = check.Text("Interval");
  }
  instance.undecided = instance.critical && !verdict;
  if (instance.critical) instance.warning = false;
  const json::Object weights = service.Child("Weights");
  const std::int64_t weight = weights.Integer(instance.warning ? "Warning" : "Passing", 1);
  const std::int64_t least = instance.warning ? 0 : 1;  // as Consul takes them
  instance.weight = static_cast<int>(std::clamp<std::int64_t>(weight, least, kMaxWeight));
}

// The service's address and its WAN form belong together, and so do the node's: mixing them would
// send traffic for a service with an address of its own to the node.
void ReadAddresses(const json::Object& node, const json::Object& service, Instance& instance) {
  instance.port = UsablePort(service);
  instance.address = service.Text("Address");
  const json::Object wan = service.Child("TaggedAddresses").Child("wan");
  instance.wan_address = wan.Text("Address");
  instance.wan_port = UsablePort(wan);
  if (instance.address.empty()) {
    instance.address = node.Text("Address");
    if (instance.wan_address.empty()) {
      instance.wan_address = node.Child("TaggedAddresses").Text("wan");
      instance.wan_port = 0;
    }
  }
  if (instance.wan_address.empty()) {
    instance.wan_port = 0;
  } else if (instance.wan_port == 0) {
    instance.wan_port = instance.port;
  }
}

// A node's Meta is what operators had before Consul knew localities.
Locality LocalityOf(const json::Object& node) {
  const json::Object told = node.Child("Locality");
  Locality locality{told.Text("Region"), told.Text("Zone")};
  if (locality == Locality{}) locality.zone = node.Child("Meta").Text("zone");
  return locality;
}

// Of answers a mesh gateway's, or whoever else proves to be the service that was asked for.
enum class Wanted { kInstances, kMeshGateways };

std::optional<Instance> ReadInstance(const json::Object& entry, Wanted wanted) {
  const json::Object node = entry.Child("Node");
  const json::Object service = entry.Child("Service");

  Instance instance;
  const std::string kind = service.Text("Kind");
  const bool native = kind.empty() && service.Child("Connect").Flag("Native");
  // A terminating gateway has the leaf certificate of each service that it stands in for.
  const bool proves = kind == "connect-proxy" || kind == "terminating-gateway" || native;
  if (wanted == Wanted::kInstances ? !proves : kind != "mesh-gateway") return std::nullopt;
  // A peer's identities live in another trust domain, which our roots say nothing about.
  if (!service.Text("PeerName").empty() || !node.Text("PeerName").empty()) return std::nullopt;

  instance.node = node.Text("Node");
  instance.datacenter = node.Text("Datacenter");
  instance.id = service.Text("ID");
  const json::Object proxy = service.Child("Proxy");
  instance.app_id = native ? instance.id : proxy.Text("DestinationServiceID");
  const json::Object locality = service.Child("Locality");
  instance.locality = {locality.Text("Region"), locality.Text("Zone")};
  if (instance.locality == Locality{}) instance.locality = LocalityOf(node);
  instance.claimed_service =
      native ? service.Text("Service") : proxy.Text("DestinationServiceName");
  ReadAddresses(node, service, instance);
  ReadHealth(entry, service, instance);
  if (instance.address.empty() || instance.port == 0) return std::nullopt;
  return instance;
}

std::vector<Instance> ReadInstances(const std::vector<json::Object>& entries,
                                    Wanted wanted = Wanted::kInstances) {
  std::vector<Instance> instances;
  for (const json::Object& entry : entries) {
    if (auto instance = ReadInstance(entry, wanted)) instances.push_back(*std::move(instance));
  }
  return instances;
}

}  // namespace

Result<std::vector<Instance>> ParseInstances(std::string_view body) {
  json::Document document("health answer", body);
  std::vector<Instance> instances = ReadInstances(document.Entries());
  if (document.error()) return *document.error();
  return instances;
}

Result<std::vector<Instance>> ParseGateways(std::string_view body) {
  json::Document document("health answer", body);
  std::vector<Instance> gateways = ReadInstances(document.Entries(), Wanted::kMeshGateways);
  if (document.error()) return *document.error();
  return gateways;
}

Result<std::vector<AppInstance>> ParseAppInstances(std::string_view body, std::string_view tag) {
  json::Document document("health answer", body);
  std::vector<AppInstance> instances;
  for (const json::Object& entry : document.Entries()) {
    const json::Object service = entry.Child("Service");
    const std::vector<std::string> tags = service.Texts("Tags");
    const bool tagged = std::any_of(tags.begin(), tags.end(), [tag](const std::string& one) {
      return EqualIgnoringCase(one, tag);
    });
    instances.push_back({entry.Child("Node").Text("Node"), service.Text("ID"), tagged});
  }
  if (document.error()) return *document.error();
  return instances;
}

Result<Locality> ParseNodeLocality(std::string_view body) {
  if (body.empty()) return Locality{};
  json::Document document("catalog's node", body);
  Locality locality = LocalityOf(document.Root().Child("Node"));
  if (document.error()) return *document.error();
  return locality;
}

Result<QueryAnswer> ParseQuery(std::string_view body) {
  json::Document document("prepared query answer", body);
  const json::Object root = document.Root();
  QueryAnswer answer;
  // Both become part of the identity that an instance must prove.
  answer.service = root.NeededText("Service");
  if (!IsPathSegment(answer.service)) root.Fail("Service", "cannot be part of a SPIFFE ID");
  answer.datacenter = root.Text("Datacenter");
  answer.peer = root.Text("PeerName");
  answer.instances = ReadInstances(root.Objects("Nodes"));
  if (!answer.instances.empty() && !IsPathSegment(answer.datacenter)) {
    root.Fail("Datacenter", "is missing or cannot be part of a SPIFFE ID");
  }
  if (document.error()) return *document.error();
  return answer;
}

}  // namespace mooring::authz
