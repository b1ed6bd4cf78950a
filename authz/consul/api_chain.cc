// Discovery chains: where an upstream's connections go, by redirects, subsets and failover.
#include <utility>

#include "authz/consul/api.h"
#include "authz/consul/json_reader.h"

namespace mooring::authz {
namespace {

// What stands before the resolvers of a chain asks about requests, which are not seen at L4.
std::string BeyondL4(const std::string& type, const std::string& node) {
  return "its " + type + " (" + node + ") decides by request";
}

ChainTarget ReadTarget(const json::Object& targets, const std::string& id) {
  const json::Object found = targets.Child(id);
  ChainTarget target;
  target.id = id;
  if (!targets.IsSet(id)) {
    targets.Fail(id, "is missing, and a resolver names it");
    return target;
  }
  target.service = found.NeededText("Service");
  target.subset = found.Text("ServiceSubset");
  target.ns = found.Text("Namespace");
  target.partition = found.Text("Partition");
  target.peer = found.Text("Peer");
  // The instances of a peer have no datacenter that means anything here.
  target.datacenter = target.peer.empty() ? found.NeededText("Datacenter") : "";
  const json::Object subset = found.Child("Subset");
  target.filter = subset.Text("Filter");
  target.only_passing = subset.Flag("OnlyPassing");
  target.sni = found.Text("SNI");
  target.mesh_gateway_mode = found.Child("MeshGateway").Text("Mode");
  return target;
}

}  // namespace

Result<Chain> ParseChain(std::string_view body) {
  json::Document document("discovery chain", body);
  const json::Object root = document.Root();
  if (!root.IsSet("Chain")) root.Fail("Chain", "is missing");
  const json::Object compiled = root.Child("Chain");
  Chain chain;
  chain.service = compiled.NeededText("ServiceName");
  chain.datacenter = compiled.NeededText("Datacenter");
  const std::string start = compiled.NeededText("StartNode");
  const json::Object nodes = compiled.Child("Nodes");
  const json::Object node = nodes.Child(start);
  if (!start.empty() && !nodes.IsSet(start))
    nodes.Fail(start, "is missing, and the chain starts there");
  const std::string type = document.error() ? std::string() : node.NeededText("Type");
  if (document.error()) return *document.error();
  if (type != "resolver") {
    chain.beyond = BeyondL4(type, start);
    return chain;
  }
  const json::Object resolver = node.Child("Resolver");
  chain.connect_timeout = resolver.Text("ConnectTimeout");
  const json::Object targets = compiled.Child("Targets");
  const std::string first = resolver.NeededText("Target");
  if (document.error()) return *document.error();
  chain.targets.push_back(ReadTarget(targets, first));
  for (const std::string& id : resolver.Child("Failover").Texts("Targets"))
    chain.targets.push_back(ReadTarget(targets, id));
  if (document.error()) return *document.error();
  return chain;
}

}  // namespace mooring::authz
