// Documents: what the State holds, in the JSON forms of the agent's API, with 1.8's field names. Pure.
#pragma once

#include <string>
#include <vector>

#include "proxy/dev/state.h"

namespace mooring::dev {

// Node is the one machine that this agent knows.
struct Node {
  std::string id;  // UUID
  std::string name;
  std::string datacenter;
};

Json AgentServiceDocument(
    const Service& service);  // an entry of /v1/agent/services, without ContentHash
Json CheckDocument(const Node& node, const State& state, const Check& check);
Json HealthDocument(const Node& node, const State& state, const Service& service);
Json CatalogDocument(const Node& node, const Service& service);

// Role says which services a name stands for: the applications of that name, or what takes Connect
// connections for them (their proxies, and native ones).
enum class Role { kApplication, kConnect };
std::vector<const Service*> Instances(const State& state, const std::string& name, Role role);

// WorstStatus is that of the instance's checks, passing without any.
std::string WorstStatus(const State& state, const Service& service);

}  // namespace mooring::dev
