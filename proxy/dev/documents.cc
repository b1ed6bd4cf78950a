#include "proxy/dev/documents.h"

#include <utility>

#include "proxy/dev/central_config.h"
#include "proxy/dev/identifier.h"

namespace mooring::dev {
namespace {

Json NodeAddresses() {
  return {{"lan", kNodeAddress},
          {"lan_ipv4", kNodeAddress},
          {"wan", kNodeAddress},
          {"wan_ipv4", kNodeAddress}};
}

Json Weights(const Service& service) {
  return {{"Passing", service.weight_passing}, {"Warning", service.weight_warning}};
}

Json ConnectOf(const Service& service) {
  return service.native ? Json{{"Native", true}} : Json::object();
}

}  // namespace

const char* VersionOf(Like like) { return like == Like::kOld ? "1.8.7" : "1.21.4"; }

Json Documents::Tags(const std::vector<std::string>& tags, From from) const {
  if (tags.empty() && from == From::kQuery && !IsOld()) return nullptr;
  return tags;
}

Json Documents::Meta(const Service& service) const {
  if (service.meta.empty() && !IsOld()) return nullptr;
  return service.meta;
}

Json Documents::NodeMeta() const {
  if (IsOld()) return Json::object();
  return {{"consul-network-segment", ""}, {"consul-version", VersionOf(like_)}};
}

Json Documents::TaggedAddresses(const Service& service) const {
  Json addresses = service.tagged_addresses;
  if (IsOld()) return addresses;
  const bool sidecar = service.kind == "connect-proxy";
  if (!sidecar && !service.native) return addresses;
  const std::string address = state_.VirtualAddress(sidecar ? service.destination : service.name);
  if (!address.empty() && !addresses.contains("consul-virtual"))
    addresses["consul-virtual"] = {{"Address", address}, {"Port", service.port}};
  return addresses;
}

// ServerProxy is the Proxy as servers answer it, for every service.
Json Documents::ServerProxy(const Service& service) const {
  Json proxy = MergedProxy(service, entries_);
  for (const char* name : {"MeshGateway", "Expose"}) {
    if (!proxy.contains(name)) proxy[name] = Json::object();
  }
  if (!IsOld() && !proxy.contains("Mode")) proxy["Mode"] = "";
  return proxy;
}

Json Documents::AgentService(const Service& service) const {
  Json out = {{"ID", service.id},
              {"Service", service.name},
              {"Tags", service.tags},
              {"Meta", service.meta},
              {"Port", service.port},
              {"Address", service.address},
              {"Weights", Weights(service)},
              {"EnableTagOverride", service.enable_tag_override}};
  if (!service.kind.empty()) out["Kind"] = service.kind;
  if (Json tagged = TaggedAddresses(service); !tagged.empty())
    out["TaggedAddresses"] = std::move(tagged);
  if (!service.proxy.empty()) out["Proxy"] = MergedProxy(service, entries_);
  if (service.native) out["Connect"] = ConnectOf(service);
  if (!IsOld()) {
    out["Datacenter"] = node_.datacenter;
    if (!service.locality.empty()) out["Locality"] = service.locality;
  }
  return out;
}

Json Documents::CheckDocument(const Check& check, From from) const {
  const Service* service = state_.FindService(check.service_id);
  Json out = {
      {"Node", node_.name},
      {"CheckID", check.id},
      {"Name", check.name},
      {"Status", check.status},
      {"Notes", check.notes},
      {"Output", check.output},
      {"ServiceID", check.service_id},
      {"ServiceName", service != nullptr ? service->name : ""},
      {"ServiceTags", Tags(service != nullptr ? service->tags : std::vector<std::string>(), from)},
      {"Type", check.type},
      {"Definition", Json::object()},
      {"CreateIndex", check.create_index},
      {"ModifyIndex", check.modify_index}};
  if (IsOld()) return out;
  const auto text = [](std::chrono::milliseconds duration) {
    return duration.count() == 0 ? std::string() : GoDuration(duration);
  };
  out["Interval"] = text(check.interval);
  out["Timeout"] = text(check.timeout);
  out["ExposedPort"] = 0;
  return out;
}

Json Documents::AgentCheck(const Check& check) const {
  Json out = CheckDocument(check, From::kCatalog);
  if (!IsOld()) out["CreateIndex"] = out["ModifyIndex"] = 0;  // the catalog's alone
  return out;
}

Json Documents::SerfHealth(From from) const {
  Check serf;
  serf.id = "serfHealth";
  serf.name = "Serf Health Status";
  serf.status = kPassing;
  serf.output = "Agent alive and reachable";
  serf.create_index = serf.modify_index = 1;
  return CheckDocument(serf, from);
}

Json Documents::CatalogNode() const {
  return {{"ID", node_.id},
          {"Node", node_.name},
          {"Address", kNodeAddress},
          {"Datacenter", node_.datacenter},
          {"TaggedAddresses", NodeAddresses()},
          {"Meta", NodeMeta()},
          {"CreateIndex", 1},
          {"ModifyIndex", 1}};
}

Json Documents::Health(const Service& service, From from) const {
  Json instance = AgentService(service);
  instance.erase("Datacenter");
  instance["Tags"] = Tags(service.tags, from);
  instance["Meta"] = Meta(service);
  instance["Proxy"] = ServerProxy(service);
  instance["Connect"] = ConnectOf(service);
  instance["CreateIndex"] = service.create_index;
  instance["ModifyIndex"] = service.modify_index;
  if (!IsOld()) instance["PeerName"] = "";
  Json checks = Json::array();
  checks.push_back(SerfHealth(from));
  for (const Check* check : state_.ChecksOf(service.id))
    checks.push_back(CheckDocument(*check, from));
  return {{"Node", CatalogNode()}, {"Service", std::move(instance)}, {"Checks", std::move(checks)}};
}

Json Documents::Catalog(const Service& service) const {
  Json out = {{"ID", node_.id},
              {"Node", node_.name},
              {"Address", kNodeAddress},
              {"Datacenter", node_.datacenter},
              {"TaggedAddresses", NodeAddresses()},
              {"NodeMeta", NodeMeta()},
              {"ServiceKind", service.kind},
              {"ServiceID", service.id},
              {"ServiceName", service.name},
              {"ServiceTags", service.tags},
              {"ServiceAddress", service.address},
              {"ServiceWeights", Weights(service)},
              {"ServiceMeta", service.meta},
              {"ServicePort", service.port},
              {"ServiceEnableTagOverride", service.enable_tag_override},
              {"ServiceProxy", ServerProxy(service)},
              {"ServiceConnect", ConnectOf(service)},
              {"CreateIndex", service.create_index},
              {"ModifyIndex", service.modify_index}};
  if (Json tagged = TaggedAddresses(service); !tagged.empty())
    out["ServiceTaggedAddresses"] = std::move(tagged);
  return out;
}

std::vector<const Service*> Instances(const State& state, const std::string& name, Role role) {
  std::vector<const Service*> found;
  for (const auto& [id, service] : state.services()) {
    bool fits = service.name == name;
    switch (role) {
      case Role::kApplication: break;
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
