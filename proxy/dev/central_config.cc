#include "proxy/dev/central_config.h"

#include <utility>

namespace mooring::dev {
namespace {

// Part is a member of an entry that may not be there, as an object.
Json Part(const Json* entry, const char* name) {
  if (entry == nullptr || !entry->contains(name) || !(*entry)[name].is_object())
    return Json::object();
  return (*entry)[name];
}

const Json* Global(const ConfigEntries& entries) {
  return entries.Find("proxy-defaults", "global");
}

const Json* Own(const ConfigEntries& entries, const std::string& service) {
  return entries.Find("service-defaults", service);
}

// Fill adds what `into` does not say; objects are filled up in the same way.
void Fill(Json& into, const Json& from) {
  for (const auto& [key, value] : from.items()) {
    if (!into.contains(key)) {
      into[key] = value;
    } else if (into[key].is_object() && value.is_object()) {
      Fill(into[key], value);
    }
  }
}

void Carry(const Json& from, const char* name, Json& into, const char* as) {
  if (from.contains(name)) into[as] = from[name];
}

// CarryUpstream puts one UpstreamConfig into the names of a proxy's configuration.
void CarryUpstream(const Json& from, Json& into) {
  Carry(from, "EnvoyListenerJSON", into, "envoy_listener_json");
  Carry(from, "EnvoyClusterJSON", into, "envoy_cluster_json");
  Carry(from, "ConnectTimeoutMs", into, "connect_timeout_ms");
  Carry(from, "Protocol", into, "protocol");
  Carry(from, "Limits", into, "limits");
  Carry(from, "PassiveHealthCheck", into, "passive_health_check");
  Carry(from, "BalanceOutboundConnections", into, "balance_outbound_connections");
}

// OverrideFor is the override for one upstream, or an empty object.
Json OverrideFor(const Json& upstream_config, const Json& upstream) {
  for (const Json& entry : upstream_config.value("Overrides", Json::array())) {
    if (entry.value("Name", "") == upstream.value("DestinationName", "") &&
        entry.value("Peer", "") == upstream.value("DestinationPeer", "")) {
      return entry;
    }
  }
  return Json::object();
}

void MergeUpstream(Json& upstream, const Json& gateway, const Json& registered_gateway,
                   const Json* own, const ConfigEntries& entries) {
  if (upstream.value("DestinationType", "") != "service") return;
  const Json upstream_config = Part(own, "UpstreamConfig");
  const Json defaults = Part(&upstream_config, "Defaults");
  const Json override_entry = OverrideFor(upstream_config, upstream);
  Json config = Json::object();
  // The protocol is the upstream's own; a peer's service has no entries here.
  if (upstream.value("DestinationPeer", "").empty()) {
    Carry(Part(Global(entries), "Config"), "protocol", config, "protocol");
    if (const Json* theirs = Own(entries, upstream.value("DestinationName", "")))
      Carry(*theirs, "Protocol", config, "protocol");
  }
  Json mode = gateway;
  for (const Json* layer : {&defaults, &override_entry}) {
    CarryUpstream(*layer, config);
    if (const Json theirs = Part(layer, "MeshGateway"); !theirs.empty()) mode = theirs;
  }
  if (!registered_gateway.empty()) mode = registered_gateway;
  if (Part(&upstream, "MeshGateway").empty()) upstream["MeshGateway"] = std::move(mode);
  Json merged = Part(&upstream, "Config");
  Fill(merged, config);
  if (!merged.empty()) upstream["Config"] = std::move(merged);
}

}  // namespace

std::string ProtocolOf(const std::string& service, const ConfigEntries& entries) {
  if (const Json* own = Own(entries, service); own != nullptr && own->contains("Protocol"))
    return (*own)["Protocol"];
  const Json config = Part(Global(entries), "Config");
  const auto protocol = config.find("protocol");
  return protocol != config.end() && protocol->is_string() ? protocol->get<std::string>() : "tcp";
}

Json MeshGatewayOf(const std::string& service, const ConfigEntries& entries) {
  const Json own = Part(Own(entries, service), "MeshGateway");
  return own.empty() ? Part(Global(entries), "MeshGateway") : own;
}

Json MergedProxy(const Service& service, const ConfigEntries& entries) {
  Json proxy = service.proxy;
  if (service.kind != "connect-proxy") return proxy;
  const Json* global = Global(entries);
  const Json* own = Own(entries, service.destination);

  Json central = Part(global, "Config");
  if (own != nullptr) {
    Carry(*own, "Protocol", central, "protocol");
    Carry(*own, "MaxInboundConnections", central, "max_inbound_connections");
    Carry(*own, "LocalConnectTimeoutMs", central, "local_connect_timeout_ms");
    Carry(*own, "LocalRequestTimeoutMs", central, "local_request_timeout_ms");
    Carry(*own, "BalanceInboundConnections", central, "balance_inbound_connections");
  }
  Json config = Part(&proxy, "Config");
  Fill(config, central);
  if (!config.empty()) proxy["Config"] = std::move(config);

  const Json registered_gateway = Part(&proxy, "MeshGateway");
  const Json gateway =
      registered_gateway.empty() ? MeshGatewayOf(service.destination, entries) : registered_gateway;
  proxy["MeshGateway"] = gateway;
  for (const Json* layer : {own, global}) {
    if (layer == nullptr) continue;
    if (!proxy.contains("Mode")) Carry(*layer, "Mode", proxy, "Mode");
    if (Part(&proxy, "Expose").empty()) proxy["Expose"] = Part(layer, "Expose");
  }
  if (const Json logs = Part(global, "AccessLogs"); !logs.empty() && !proxy.contains("AccessLogs"))
    proxy["AccessLogs"] = logs;
  if (proxy.contains("Upstreams")) {
    for (Json& upstream : proxy["Upstreams"])
      MergeUpstream(upstream, gateway, registered_gateway, own, entries);
  }
  return proxy;
}

}  // namespace mooring::dev
