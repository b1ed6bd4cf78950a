// Documents: what the State holds, in the JSON forms of the agent's API. Sidecars are answered with
// what the config entries add to them. Pure.
#pragma once

#include <string>
#include <vector>

#include "proxy/dev/config_entries.h"
#include "proxy/dev/like.h"
#include "proxy/dev/state.h"

namespace mooring::dev {

// Node is the one machine that this agent knows.
struct Node {
  std::string id;  // UUID
  std::string name;
  std::string datacenter;
};

inline constexpr const char* kNodeAddress = "127.0.0.1";
const char* VersionOf(Like like);  // of Consul, in full

class Documents final {
 public:
  // All must outlive it.
  Documents(Like like, const Node& node, const State& state, const ConfigEntries& entries)
      : like_(like), node_(node), state_(state), entries_(entries) {}

  Json AgentService(const Service& service) const;  // of /v1/agent/services: without ContentHash
  Json AgentCheck(const Check& check) const;
  // From is where the answer passed by: what is empty comes as [] from the catalog, and as null
  // from a prepared query.
  enum class From { kCatalog, kQuery };
  Json Health(const Service& service, From from = From::kCatalog) const;
  Json Catalog(const Service& service) const;
  Json CatalogNode() const;

 private:
  bool IsOld() const { return like_ == Like::kOld; }
  Json Tags(const std::vector<std::string>& tags, From from) const;
  Json Meta(const Service& service) const;
  Json NodeMeta() const;
  Json TaggedAddresses(const Service& service) const;
  Json ServerProxy(const Service& service) const;
  Json CheckDocument(const Check& check, From from) const;
  Json SerfHealth(From from) const;

  const Like like_;
  const Node& node_;
  const State& state_;
  const ConfigEntries& entries_;
};

// Role says which services a name stands for: the applications of that name, or what takes Connect
// connections for them (their proxies, and native ones).
enum class Role { kApplication, kConnect };
std::vector<const Service*> Instances(const State& state, const std::string& name, Role role);

// WorstStatus is that of the instance's checks, passing without any.
std::string WorstStatus(const State& state, const Service& service);

}  // namespace mooring::dev
