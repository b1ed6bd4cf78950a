// Queries: prepared queries of `mooring dev`: a name for a service and a filter. Failover to other
// datacenters is kept in the definition and never needed: there is one datacenter. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "authz/result.h"
#include "proxy/dev/state.h"

namespace mooring::dev {

struct PreparedQuery {
  std::string id;
  std::string name;
  std::string service;
  bool only_passing = false;
  bool connect = false;
  std::vector<std::string> tags;  // all must be there; one that begins with '!' must not
  Json failover = Json::object();
  std::string ttl;
  std::uint64_t create_index = 0;
  std::uint64_t modify_index = 0;

  Json Document() const;
};

// ParseQuery's errors are texts of Consul's agent.
Result<PreparedQuery> ParseQuery(std::string_view body);

class Queries final {
 public:
  explicit Queries(Index& index) : index_(index) {}
  // Put creates (empty ID) or replaces; a name is unique.
  Result<std::string> Put(PreparedQuery query);
  bool Delete(const std::string& id);
  const PreparedQuery* Find(const std::string& id) const;
  const PreparedQuery* FindByIdOrName(const std::string& text) const;
  const std::map<std::string, PreparedQuery>& all() const { return queries_; }

 private:
  Index& index_;
  std::map<std::string, PreparedQuery> queries_;  // by ID
};

}  // namespace mooring::dev
