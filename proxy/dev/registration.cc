#include "proxy/dev/registration.h"

#include <set>
#include <utility>

#include "proxy/net/address.h"

namespace mooring::dev {
namespace {

constexpr std::chrono::milliseconds kSidecarInterval{10'000};

// Rules collects broken rules in the form in which Consul's agent lists them.
std::string Rules(const std::vector<std::string>& broken) {
  std::string text = std::to_string(broken.size()) +
                     (broken.size() == 1 ? " error occurred:\n" : " errors occurred:\n");
  for (const std::string& rule : broken) text += "\t* " + rule + "\n";
  return text + "\n";
}

void PutText(Json& out, const char* name, const std::string& text) {
  if (!text.empty()) out[name] = text;
}

Json UpstreamDocument(const Fields& fields, std::vector<std::string>& broken) {
  Json out = Json::object();
  const std::string type = fields.Text("DestinationType");
  const std::string name = fields.Text("DestinationName");
  const std::uint16_t port = fields.Port("LocalBindPort");
  const std::string path = fields.Text("LocalBindSocketPath");
  out["DestinationType"] = type.empty() ? "service" : type;
  out["DestinationName"] = name;
  PutText(out, "DestinationNamespace", fields.Text("DestinationNamespace"));
  PutText(out, "DestinationPartition", fields.Text("DestinationPartition"));
  PutText(out, "DestinationPeer", fields.Text("DestinationPeer"));
  PutText(out, "Datacenter", fields.Text("Datacenter"));
  PutText(out, "LocalBindAddress", fields.Text("LocalBindAddress"));
  if (port != 0) out["LocalBindPort"] = port;
  PutText(out, "LocalBindSocketPath", path);
  PutText(out, "LocalBindSocketMode", fields.Text("LocalBindSocketMode"));
  if (Json config = fields.Object("Config"); !config.empty()) out["Config"] = std::move(config);
  out["MeshGateway"] = fields.Object("MeshGateway");
  if (!type.empty() && type != "service" && type != "prepared_query") {
    broken.push_back("unknown upstream destination type \"" + type + "\"");
  }
  if (name.empty()) broken.push_back("upstream destination name cannot be empty");
  if (port == 0 && path.empty())
    broken.push_back("upstream local bind port or local socket path must be defined and nonzero");
  if (port != 0 && !path.empty())
    broken.push_back("only one of upstream local bind port or local socket path can be defined");
  return out;
}

// FindTwinUpstreams: 1.21 refuses two upstreams that are equal in all but their listener.
void FindTwinUpstreams(const Json& proxy, std::vector<std::string>& broken) {
  std::set<std::string> seen;
  for (const Json& upstream : proxy.value("Upstreams", Json::array())) {
    std::string text;
    for (const auto& [label, field] : {std::pair{"type", "DestinationType"},
                                       {"name", "DestinationName"},
                                       {"partition", "DestinationPartition"},
                                       {"namespace", "DestinationNamespace"},
                                       {"peer", "DestinationPeer"},
                                       {"datacenter", "Datacenter"}}) {
      text +=
          (text.empty() ? "" : ", ") + std::string(label) + "=\"" + upstream.value(field, "") + '"';
    }
    if (!seen.insert(text).second)
      broken.push_back("upstreams cannot contain duplicates of [" + text + ']');
  }
}

void ReadProxy(const Fields& fields, Service& service, std::vector<std::string>& broken) {
  service.destination = fields.Text("DestinationServiceName");
  Json out = Json::object();
  PutText(out, "DestinationServiceName", service.destination);
  PutText(out, "DestinationServiceID", fields.Text("DestinationServiceID"));
  PutText(out, "LocalServiceAddress", fields.Text("LocalServiceAddress"));
  if (const std::uint16_t port = fields.Port("LocalServicePort"); port != 0)
    out["LocalServicePort"] = port;
  PutText(out, "LocalServiceSocketPath", fields.Text("LocalServiceSocketPath"));
  PutText(out, "Mode", fields.Text("Mode"));
  if (Json logs = fields.Object("AccessLogs"); !logs.empty()) out["AccessLogs"] = std::move(logs);
  if (Json config = fields.Object("Config"); !config.empty()) out["Config"] = std::move(config);
  for (const Fields& upstream : fields.Children("Upstreams")) {
    out["Upstreams"].push_back(UpstreamDocument(upstream, broken));
  }
  out["MeshGateway"] = fields.Object("MeshGateway");
  out["Expose"] = fields.Object("Expose");
  service.proxy = std::move(out);
}

void ReadWeights(const Fields& fields, Service& service, std::string& refusal) {
  if (!fields.Has("Weights")) return;
  const Fields weights = fields.Child("Weights");
  const std::int64_t passing = weights.Integer("Passing", 1);
  const std::int64_t warning = weights.Integer("Warning", 1);
  if (passing < 1) refusal = "Invalid Weights: Passing must be greater than 0";
  if (warning < 0) refusal = "Invalid Weights: Warning must be greater or equal than 0";
  if (passing > 65535 || warning > 65535) refusal = "Invalid Weights: must be 65535 or less";
  service.weight_passing = static_cast<int>(passing);
  service.weight_warning = static_cast<int>(warning);
}

Service ReadService(const Fields& fields, std::vector<std::string>& broken, std::string& refusal) {
  Service service;
  service.id = fields.Text("ID");
  service.name = fields.Text("Name");
  if (service.id.empty()) service.id = service.name;
  service.kind = fields.Text("Kind");
  service.address = fields.Text("Address");
  service.port = fields.Port("Port");
  service.tags = fields.Texts("Tags");
  service.meta = fields.TextMap("Meta");
  service.enable_tag_override = fields.Flag("EnableTagOverride");
  service.tagged_addresses = fields.Object("TaggedAddresses");
  service.native = fields.Child("Connect").Flag("Native");
  service.locality = fields.Object("Locality");
  ReadWeights(fields, service, refusal);
  if (service.kind == "connect-proxy") ReadProxy(fields.Child("Proxy"), service, broken);
  net::Address literal;
  literal.host = service.address;
  if (!service.address.empty() && literal.IsIpLiteral()) {
    const char* family = service.address.find(':') == std::string::npos ? "ipv4" : "ipv6";
    for (const char* side : {"lan_", "wan_"}) {
      Json& tagged = service.tagged_addresses[std::string(side) + family];
      if (tagged.is_null()) tagged = {{"Address", service.address}, {"Port", service.port}};
    }
  }
  return service;
}

// ReadCheck reads one definition; a check without a type is none, as Consul has it.
void ReadCheck(const Fields& fields, const Service& service, std::vector<Check>& checks,
               std::string& refusal) {
  Check check;
  check.id = fields.Text("CheckID");
  if (check.id.empty()) check.id = fields.Text("ID");
  check.name = fields.Text("Name");
  if (check.name.empty()) check.name = "Service '" + service.name + "' check";
  check.notes = fields.Text("Notes");
  check.ttl = fields.Duration("TTL");
  check.tcp = fields.Text("TCP");
  check.interval = fields.Duration("Interval");
  check.timeout = fields.Duration("Timeout");
  check.alias = fields.Text("AliasService");
  check.deregister_after = fields.Duration("DeregisterCriticalServiceAfter");
  const std::string status = fields.Text("Status");
  if (!status.empty()) {
    if (status != kPassing && status != kWarning && status != kCritical) {
      refusal = "Status for checks must 'passing', 'warning', 'critical'";
    }
    check.status = status;
  }
  const bool elsewhere = fields.Has("HTTP") || fields.Has("GRPC") || fields.Has("Args") ||
                         fields.Has("ScriptArgs") || fields.Has("DockerContainerID");
  if (check.ttl.count() > 0) {
    check.type = "ttl";
  } else if (!check.tcp.empty()) {
    check.type = "tcp";
    if (!net::ParseAddress(check.tcp, "127.0.0.1")) refusal = "Invalid check: TCP is not host:port";
  } else if (!check.alias.empty()) {
    check.type = "alias";
  } else if (elsewhere && (!fields.Text("HTTP").empty() || !fields.Text("GRPC").empty() ||
                           !fields.Texts("Args").empty() || !fields.Texts("ScriptArgs").empty())) {
    check.type = !fields.Text("HTTP").empty()   ? "http"
                 : !fields.Text("GRPC").empty() ? "grpc"
                                                : "script";
    check.status = kPassing;
    check.output = "mooring dev does not run " + check.type + " checks: counted as passing";
  } else {
    return;
  }
  if (check.type != "ttl" && check.type != "alias" && check.interval.count() <= 0) {
    refusal = "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks";
  }
  checks.push_back(std::move(check));
}

std::vector<Check> ReadChecks(const Fields& fields, const Service& service, std::string& refusal) {
  std::vector<Check> checks;
  if (fields.Has("Check")) ReadCheck(fields.Child("Check"), service, checks, refusal);
  for (const Fields& entry : fields.Children("Checks")) ReadCheck(entry, service, checks, refusal);
  for (std::size_t i = 0; i < checks.size(); ++i) {
    if (!checks[i].id.empty()) continue;
    checks[i].id = "service:" + service.id + (checks.size() > 1 ? ':' + std::to_string(i + 1) : "");
  }
  return checks;
}

void ReadSidecar(const Fields& fields, Registration& out, std::vector<std::string>& broken,
                 std::string& refusal) {
  const Service& parent = out.service;
  Service sidecar = ReadService(fields, broken, refusal);
  if (fields.Has("ID") && !fields.Text("ID").empty()) {
    broken.push_back("A SidecarService cannot specify an ID as this is managed by the agent");
  }
  if (fields.Child("Connect").Has("SidecarService")) {
    broken.push_back("A SidecarService cannot have a nested SidecarService");
  }
  sidecar.id = parent.id + "-sidecar-proxy";
  if (sidecar.name.empty()) sidecar.name = parent.name + "-sidecar-proxy";
  sidecar.kind = "connect-proxy";
  sidecar.sidecar_of = parent.id;
  if (!fields.Has("Tags")) sidecar.tags = parent.tags;
  if (!fields.Has("Meta")) sidecar.meta = parent.meta;
  if (!fields.Has("Locality")) sidecar.locality = parent.locality;
  ReadProxy(fields.Child("Proxy"), sidecar, broken);
  sidecar.destination = parent.name;
  sidecar.proxy["DestinationServiceName"] = parent.name;
  sidecar.proxy["DestinationServiceID"] = parent.id;
  if (!sidecar.proxy.contains("LocalServiceAddress") &&
      !sidecar.proxy.contains("LocalServiceSocketPath")) {
    sidecar.proxy["LocalServiceAddress"] = "127.0.0.1";
  }
  if (!sidecar.proxy.contains("LocalServicePort") && parent.port != 0 &&
      !sidecar.proxy.contains("LocalServiceSocketPath")) {
    sidecar.proxy["LocalServicePort"] = parent.port;
  }
  out.sidecar_checks = ReadChecks(fields, sidecar, refusal);
  out.sidecar = std::move(sidecar);
  out.has_sidecar = true;
}

}  // namespace

Result<Registration> ParseRegistration(std::string_view body, Like like) {
  const Result<Json> parsed = ParseBody(body);
  if (!parsed) return Invalid("Request decode failed: " + parsed.error().message);
  std::string fault;
  std::string refusal;
  std::vector<std::string> broken;
  const Fields fields(&*parsed, "", &fault);
  Registration out;
  out.service = ReadService(fields, broken, refusal);
  out.checks = ReadChecks(fields, out.service, refusal);
  if (fields.Child("Connect").Has("SidecarService")) {
    ReadSidecar(fields.Child("Connect").Child("SidecarService"), out, broken, refusal);
  }
  if (!fault.empty()) return Invalid("Request decode failed: " + fault);
  if (out.service.name.empty()) return Invalid("Missing service name");
  if (out.service.kind == "connect-proxy") {
    if (out.service.destination.empty()) {
      broken.push_back("Proxy.DestinationServiceName must be non-empty for Connect proxy services");
    }
    if (out.service.port == 0) broken.push_back("Port must be set for a Connect proxy");
    if (out.service.native)
      broken.push_back("A Proxy cannot also be Connect Native, only typical services");
  }
  if (like == Like::kCurrent) {
    for (const Service* service : {&out.service, &out.sidecar})
      FindTwinUpstreams(service->proxy, broken);
  }
  if (!broken.empty()) {
    return Invalid((like == Like::kCurrent ? "Failed Validation: " : "") + Rules(broken));
  }
  if (!refusal.empty()) return Invalid(refusal);
  return out;
}

std::vector<Check> SidecarChecks(const Service& sidecar) {
  Check listening;
  listening.id = "service:" + sidecar.id + ":1";
  listening.name = "Connect Sidecar Listening";
  listening.type = "tcp";
  net::Address address;
  address.host = sidecar.address.empty() ? "127.0.0.1" : sidecar.address;
  address.port = sidecar.port;
  listening.tcp = address.Text();
  listening.interval = kSidecarInterval;
  Check alias;
  alias.id = "service:" + sidecar.id + ":2";
  alias.name = "Connect Sidecar Aliasing " + sidecar.sidecar_of;
  alias.type = "alias";
  alias.alias = sidecar.sidecar_of;
  return {listening, alias};
}

}  // namespace mooring::dev
