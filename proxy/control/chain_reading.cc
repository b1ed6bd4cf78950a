#include "proxy/control/chain_reading.h"

#include <algorithm>
#include <utility>

#include "authz/text.h"
#include "proxy/config/checks.h"
#include "proxy/config/duration.h"
#include "proxy/data/snapshot.h"

namespace mooring::control {
namespace {

constexpr char kDefault[] = "default";

bool IsDefault(const std::string& name, const std::string& own) {
  return name.empty() || name == (own.empty() ? kDefault : own);
}

// WhyNotDialled is empty for a target whose instances can be called from here.
std::string WhyNotDialled(const authz::ChainTarget& target, const authz::ServiceId* own) {
  if (!target.peer.empty())
    return target.id + " is a peer's, whose instances cannot be called from here";
  if (own != nullptr &&
      !(IsDefault(target.ns, own->ns) && IsDefault(target.partition, own->partition)))
    return target.id + " is in another namespace or partition, which is not asked for";
  return {};
}

// In Consul's order: what the upstream or its proxy says goes before service-defaults and
// proxy-defaults, which are in the chain.
config::MeshGateway GatewayTo(const std::string& datacenter, const std::string& mode,
                              const config::UpstreamSettings& upstream,
                              std::vector<std::string>* beyond) {
  if (datacenter.empty()) return config::MeshGateway::kNone;
  if (upstream.mesh_gateway) return *upstream.mesh_gateway;
  if (mode.empty()) return config::MeshGateway::kNone;
  const auto read = config::ParseMeshGateway(mode);
  if (read) return *read;
  beyond->push_back("mesh gateway mode " + authz::Shortened(mode) + " to " + datacenter +
                    " is not known: its instances are dialled directly");
  return config::MeshGateway::kNone;
}

}  // namespace

UpstreamSource::Target Itself(const config::UpstreamSettings& upstream) {
  UpstreamSource::Target itself{.service = upstream.name, .datacenter = upstream.datacenter};
  if (!upstream.datacenter.empty() && upstream.type == authz::UpstreamType::kService)
    itself.gateway = upstream.mesh_gateway.value_or(config::MeshGateway::kNone);
  return itself;
}

ChainReading ReadChain(const authz::Chain& chain, const config::UpstreamSettings& upstream,
                       const authz::ServiceId* own) {
  ChainReading reading;
  const auto timeout = config::ParseDuration(chain.connect_timeout);
  if (timeout && timeout->count() > 0 && *timeout != data::UpstreamRules{}.connect_timeout)
    reading.connect_timeout = *timeout;
  if (!chain.beyond.empty()) {
    reading.beyond.push_back(chain.beyond +
                             ", which is not seen here: connections go to its own instances");
    reading.targets.push_back(Itself(upstream));
  }
  for (const authz::ChainTarget& target : chain.targets) {
    const bool first = &target == &chain.targets.front();
    if (std::string why = WhyNotDialled(target, own); !why.empty()) {
      if (first && chain.targets.size() > 1)
        why += "; nor is anybody who stands in for it, whom Consul means only while that one fails";
      reading.beyond.push_back(std::move(why));
      if (first) break;
      continue;
    }
    UpstreamSource::Target one;
    one.service = target.service;
    if (target.datacenter != chain.datacenter) one.datacenter = target.datacenter;
    one.gateway = GatewayTo(one.datacenter, target.mesh_gateway_mode, upstream, &reading.beyond);
    one.filter = target.filter;
    one.only_passing = target.only_passing;
    if (!target.subset.empty()) one.server_name = target.sni;
    if (one != Itself(upstream)) one.id = target.id;
    // One that is named twice stands in for nothing the second time.
    if (std::find(reading.targets.begin(), reading.targets.end(), one) == reading.targets.end())
      reading.targets.push_back(std::move(one));
  }
  return reading;
}

// These are all that Consul's compiler of chains objects to, from 1.8 to 1.21
// (agent/consul/discoverychain/compile.go). A client agent hands them on within "rpc error making
// call: ...", beside what an outage looks like.
bool MakesNoSense(const std::string& error) {
  for (const char* objection :
       {"detected circular re", "discovery chain \"", "does not have a subset named",
        "has an external SNI set; cannot", "sameness group missing for service"}) {
    if (error.find(objection) != std::string::npos) return true;
  }
  return false;
}

}  // namespace mooring::control
