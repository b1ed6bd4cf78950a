#include "proxy/dev/documents.h"

namespace mooring::dev {
namespace {

constexpr const char* kNodeAddress = "127.0.0.1";

Json NodeAddresses() {
  return {{"lan", kNodeAddress},
          {"lan_ipv4", kNodeAddress},
          {"wan", kNodeAddress},
          {"wan_ipv4", kNodeAddress}};
}

Json Weights(const Service& service) {
  return {{"Passing", service.weight_passing}, {"Warning", service.weight_warning}};
}

Json ProxyOrEmpty(const Service& service) {
  if (!service.proxy.empty()) return service.proxy;
  return {{"MeshGateway", Json::object()}, {"Expose", Json::object()}};
}

Json ConnectOf(const Service& service) {
  return service.native ? Json{{"Native", true}} : Json::object();
}

}  // namespace

Json AgentServiceDocument(const Service& service) {
  Json out = {{"ID", service.id},
              {"Service", service.name},
              {"Tags", service.tags},
              {"Meta", service.meta},
              {"Port", service.port},
              {"Address", service.address},
              {"Weights", Weights(service)},
              {"EnableTagOverride", service.enable_tag_override}};
  if (!service.kind.empty()) out["Kind"] = service.kind;
  if (!service.tagged_addresses.empty()) out["TaggedAddresses"] = service.tagged_addresses;
  if (!service.proxy.empty()) out["Proxy"] = service.proxy;
  if (service.native) out["Connect"] = ConnectOf(service);
  return out;
}

Json CheckDocument(const Node& node, const State& state, const Check& check) {
  const Service* service = state.FindService(check.service_id);
  return {{"Node", node.name},
          {"CheckID", check.id},
          {"Name", check.name},
          {"Status", check.status},
          {"Notes", check.notes},
          {"Output", check.output},
          {"ServiceID", check.service_id},
          {"ServiceName", service != nullptr ? service->name : ""},
          {"ServiceTags", service != nullptr ? Json(service->tags) : Json::array()},
          {"Type", check.type},
          {"Definition", Json::object()},
          {"CreateIndex", check.create_index},
          {"ModifyIndex", check.modify_index}};
}

Json HealthDocument(const Node& node, const State& state, const Service& service) {
  Json instance = AgentServiceDocument(service);
  instance["Proxy"] = ProxyOrEmpty(service);
  instance["Connect"] = ConnectOf(service);
  instance["CreateIndex"] = service.create_index;
  instance["ModifyIndex"] = service.modify_index;
  Json checks = Json::array();
  checks.push_back({{"Node", node.name},
                    {"CheckID", "serfHealth"},
                    {"Name", "Serf Health Status"},
                    {"Status", kPassing},
                    {"Notes", ""},
                    {"Output", "Agent alive and reachable"},
                    {"ServiceID", ""},
                    {"ServiceName", ""},
                    {"ServiceTags", Json::array()},
                    {"Type", ""},
                    {"Definition", Json::object()},
                    {"CreateIndex", 1},
                    {"ModifyIndex", 1}});
  for (const Check* check : state.ChecksOf(service.id))
    checks.push_back(CheckDocument(node, state, *check));
  return {{"Node",
           {{"ID", node.id},
            {"Node", node.name},
            {"Address", kNodeAddress},
            {"Datacenter", node.datacenter},
            {"TaggedAddresses", NodeAddresses()},
            {"Meta", Json::object()},
            {"CreateIndex", 1},
            {"ModifyIndex", 1}}},
          {"Service", std::move(instance)},
          {"Checks", std::move(checks)}};
}

Json CatalogDocument(const Node& node, const Service& service) {
  Json out = {{"ID", node.id},
              {"Node", node.name},
              {"Address", kNodeAddress},
              {"Datacenter", node.datacenter},
              {"TaggedAddresses", NodeAddresses()},
              {"NodeMeta", Json::object()},
              {"ServiceKind", service.kind},
              {"ServiceID", service.id},
              {"ServiceName", service.name},
              {"ServiceTags", service.tags},
              {"ServiceAddress", service.address},
              {"ServiceWeights", Weights(service)},
              {"ServiceMeta", service.meta},
              {"ServicePort", service.port},
              {"ServiceEnableTagOverride", service.enable_tag_override},
              {"ServiceProxy", ProxyOrEmpty(service)},
              {"ServiceConnect", ConnectOf(service)},
              {"CreateIndex", service.create_index},
              {"ModifyIndex", service.modify_index}};
  if (!service.tagged_addresses.empty()) out["ServiceTaggedAddresses"] = service.tagged_addresses;
  return out;
}

std::vector<const Service*> Instances(const State& state, const std::string& name, Role role) {
  std::vector<const Service*> found;
  for (const auto& [id, service] : state.services()) {
    bool fits = service.name == name;
    switch (role) {
      case Role::kApplication:
        break;
      case Role::kConnect:
        fits = (service.kind == "connect-proxy" && service.destination == name) ||
               (fits && service.native);
        break;
    }
    if (fits) found.push_back(&service);
  }
  return found;
}

std::string WorstStatus(const State& state, const Service& service) {
  std::string worst = kPassing;
  for (const Check* check : state.ChecksOf(service.id)) {
    if (check->status == kCritical) return kCritical;
    if (check->status == kWarning) worst = kWarning;
  }
  return worst;
}

}  // namespace mooring::dev
