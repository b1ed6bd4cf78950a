// Registrations: the proxy's own configuration, the sidecars of a service, checks of the agent's
// node.
#include <algorithm>
#include <optional>
#include <utility>

#include "authz/consul/api.h"
#include "authz/consul/json_reader.h"
#include "authz/text.h"

namespace mooring::authz {
namespace {

constexpr std::string_view kProxyKind = "connect-proxy";

// Nothing for entries that are not to be listened for: central defaults for upstreams nobody
// mounted.
std::optional<UpstreamDocument> ReadUpstream(const json::Object& entry) {
  UpstreamDocument upstream;
  upstream.name = entry.NeededText("DestinationName");
  upstream.bind_port = entry.Port("LocalBindPort");
  upstream.socket_path = entry.Text("LocalBindSocketPath");
  if (upstream.name == "*") return std::nullopt;
  if (upstream.bind_port == 0 && upstream.socket_path.empty()) return std::nullopt;
  if (upstream.bind_port != 0 && !upstream.socket_path.empty()) {
    entry.Fail("LocalBindSocketPath", "and LocalBindPort are both set: keep one of them");
  }

  const std::string type = entry.Text("DestinationType");
  if (type == "prepared_query") {
    upstream.type = UpstreamType::kPreparedQuery;
  } else if (!type.empty() && type != "service") {
    entry.Fail("DestinationType", "is \"" + Shortened(type) + "\": use service or prepared_query");
  }
  upstream.ns = entry.Text("DestinationNamespace");
  upstream.partition = entry.Text("DestinationPartition");
  upstream.peer = entry.Text("DestinationPeer");
  upstream.datacenter = entry.Text("Datacenter");
  upstream.bind_address = entry.Text("LocalBindAddress");
  upstream.socket_mode = entry.Text("LocalBindSocketMode");
  upstream.config = entry.Flat("Config");
  upstream.mesh_gateway_mode = entry.Child("MeshGateway").Text("Mode");
  return upstream;
}

void ReadProxyFields(const json::Object& fields, ProxyDocument& proxy) {
  proxy.destination_service = fields.NeededText("DestinationServiceName");
  proxy.local_service_address = fields.Text("LocalServiceAddress");
  proxy.local_service_port = fields.Port("LocalServicePort");
  proxy.local_service_socket_path = fields.Text("LocalServiceSocketPath");
  proxy.mode = fields.Text("Mode");
  proxy.config = fields.Flat("Config");
  const std::string gateway_mode = fields.Child("MeshGateway").Text("Mode");
  for (const json::Object& entry : fields.Objects("Upstreams")) {
    auto upstream = ReadUpstream(entry);
    if (!upstream) continue;
    if (upstream->mesh_gateway_mode.empty()) upstream->mesh_gateway_mode = gateway_mode;
    proxy.upstreams.push_back(*std::move(upstream));
  }
  const json::Object expose = fields.Child("Expose");
  proxy.exposes_paths = expose.Flag("Checks") || !expose.Objects("Paths").empty();
}

}  // namespace

Result<ProxyDocument> ParseProxy(std::string_view body) {
  json::Document document("proxy registration", body);
  const json::Object root = document.Root();
  ProxyDocument proxy;
  proxy.id = root.NeededText("ID");
  if (const std::string kind = root.Text("Kind"); kind != kProxyKind) {
    // Before the fields of a proxy are missed one by one: this is the fault to mend.
    root.Fail("Kind", "of " + Shortened(proxy.id) + " is \"" + Shortened(kind) +
                          "\", not connect-proxy: give the ID of the sidecar, not of its service");
  }
  proxy.address = root.Text("Address");
  proxy.port = root.Port("Port");
  const json::Object locality = root.Child("Locality");
  proxy.locality = {locality.Text("Region"), locality.Text("Zone")};
  ReadProxyFields(root.Child("Proxy"), proxy);
  if (document.error()) return *document.error();
  return proxy;
}

Result<std::string> ParseServiceMeta(std::string_view body, std::string_view key) {
  json::Document document("service registration", body);
  std::string value = document.Root().Child("Meta").Text(key);
  if (document.error()) return *document.error();
  return value;
}

Result<SidecarLookup> ParseSidecars(std::string_view body, std::string_view service_id) {
  json::Document document("service list", body);
  SidecarLookup lookup;
  for (const auto& [key, service] : document.Root().MembersAsObjects()) {
    ++lookup.services_seen;
    if (service.Text("Kind") != kProxyKind) continue;
    const std::string destination = service.Child("Proxy").Text("DestinationServiceID");
    if (destination.empty() || !EqualIgnoringCase(destination, service_id)) continue;
    const std::string id = service.Text("ID");
    lookup.proxy_ids.push_back(id.empty() ? key : id);
  }
  std::sort(lookup.proxy_ids.begin(), lookup.proxy_ids.end());
  if (document.error()) return *document.error();
  return lookup;
}

Result<ServiceChecks> ParseServiceChecks(std::string_view body, std::string_view instance_id) {
  json::Document document("check list", body);
  ServiceChecks found;
  const std::string maintenance = "_service_maintenance:" + std::string(instance_id);
  for (const auto& [key, check] : document.Root().MembersAsObjects()) {
    if (check.Text("ServiceID") != instance_id) continue;
    found.node = check.Text("Node");
    const std::string type = check.Text("Type");
    if (key == maintenance) {
      found.maintenance = check.Text("Notes");
    } else if (!type.empty() && type != "ttl" && type != "alias") {
      found.probes.push_back({check.Text("Status") == "critical", check.Text("Interval")});
    }
  }
  if (document.error()) return *document.error();
  return found;
}

Result<std::string> ParseAgentNode(std::string_view body) {
  if (body.empty()) return std::string();
  json::Document document("check list", body);
  std::string node;
  for (const auto& [key, check] : document.Root().MembersAsObjects()) {
    if (node.empty()) node = check.Text("Node");
  }
  if (document.error()) return *document.error();
  return node;
}

}  // namespace mooring::authz
