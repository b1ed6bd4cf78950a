// State: what one agent knows of its services and their health, for `mooring dev`.
//
// Pure: no sockets, no clock; checks.h runs what has to be run and writes the results here. Every
// change moves the index on and calls back. Aliased checks are settled after each change. Alive in
// memory only.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "authz/result.h"
#include "proxy/dev/body.h"

namespace mooring::dev {

// Index is the agent's X-Consul-Index, one counter for all that it holds.
struct Index {
  std::uint64_t value = 1;
  std::uint64_t Next() { return ++value; }
};

inline constexpr const char* kPassing = "passing";
inline constexpr const char* kWarning = "warning";
inline constexpr const char* kCritical = "critical";

struct Service {
  std::string id;
  std::string name;
  std::string kind;  // "" or connect-proxy; others are kept and never answered as Connect endpoints
  std::string address;  // empty: the node's
  std::uint16_t port = 0;
  std::vector<std::string> tags;
  std::map<std::string, std::string> meta;
  Json tagged_addresses = Json::object();
  int weight_passing = 1;
  int weight_warning = 1;
  bool enable_tag_override = false;
  bool native = false;  // Connect.Native
  Json locality = Json::object();
  Json proxy = Json::object();  // as answered; empty for services without one
  std::string destination;      // Proxy.DestinationServiceName
  std::string
      sidecar_of;  // registered by Connect.SidecarService of this service ID, and goes with it
  std::uint64_t create_index = 0;
  std::uint64_t modify_index = 0;

  bool SameAs(const Service& other) const;  // but for the indexes
};

struct Check {
  std::string id;
  std::string name;
  std::string status = kCritical;
  std::string notes;
  std::string output;
  std::string type;  // ttl, tcp, alias, maintenance; others (http, grpc, ...) are not run and count
                     // as passing
  std::string service_id;
  std::chrono::milliseconds ttl{};
  std::chrono::milliseconds interval{};
  std::chrono::milliseconds timeout{};           // 0: that of the kind of check
  std::string tcp;                               // host:port
  std::string alias;                             // service ID
  std::chrono::milliseconds deregister_after{};  // 0: never
  std::uint64_t heartbeats = 0;                  // counts reports to a TTL check, changes or not
  std::uint64_t create_index = 0;
  std::uint64_t modify_index = 0;
};

class State final {
 public:
  // `on_change` runs after every change, inside the call that made it.
  State(Index& index, std::function<void()> on_change);

  // Register adds a service or replaces the one of that ID. Checks of the same ID keep their
  // status; others of that service stay, unless `replace_checks`.
  void Register(Service service, std::vector<Check> checks, bool replace_checks);
  // Deregister takes a service away with its checks and its sidecar. False: there is none.
  bool Deregister(const std::string& id);

  // SetCheck notes the result of a check that is run here; nothing happens if there is no such
  // check.
  void SetCheck(const std::string& id, const std::string& status, const std::string& output);
  // Heartbeat is SetCheck for a TTL check. False: there is no such TTL check.
  bool Heartbeat(const std::string& id, const std::string& status, const std::string& output);
  // SetMaintenance puts a service into maintenance or takes it out. False: there is no such
  // service.
  bool SetMaintenance(const std::string& service_id, bool on, const std::string& reason);

  const Service* FindService(const std::string& id) const;
  const std::map<std::string, Service>& services() const { return services_; }  // by ID
  const std::map<std::string, Check>& checks() const { return checks_; }        // by check ID
  std::vector<const Check*> ChecksOf(const std::string& service_id) const;

  // HealthIndex is the index of the last change to instances of the service `name`, or to proxies
  // for it.
  std::uint64_t HealthIndex(const std::string& name) const;

  // TouchAll moves every service's index on: something changed that all of them are made of.
  void TouchAll();

  // VirtualAddress is the address that stands for a service of the mesh, one after the other in
  // 240.0.0.0/4; empty unless it was given one.
  std::string VirtualAddress(const std::string& service) const;
  void GiveVirtualAddress(const std::string& service);

  // FreePort is the lowest port from 21000 to 21255 that no service has, 0 if all are taken.
  std::uint16_t FreePort() const;

 private:
  void Touch(const Service& service);
  void TouchOwner(const Check& check);
  bool Write(Check& check, const std::string& status, const std::string& output);
  void SettleAliases();
  void Changed();

  Index& index_;
  std::function<void()> on_change_;
  std::uint64_t first_index_;
  std::map<std::string, Service> services_;
  std::map<std::string, Check> checks_;
  std::map<std::string, std::uint64_t> health_index_;
  std::map<std::string, std::uint32_t> virtual_;  // numbers from 1
};

}  // namespace mooring::dev
