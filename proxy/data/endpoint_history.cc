#include "proxy/data/endpoint_history.h"

#include <utility>

#include "proxy/data/endpoint.h"

namespace mooring::data {

const char* EndpointStateName(const EndpointHistory& history) {
  if (history.failures_in_a_row() > 0) return "failing";
  return history.attempts() > 0 ? "ok" : "unused";
}

void Histories::Attach(std::vector<Endpoint>* endpoints) {
  std::map<Key, std::shared_ptr<EndpointHistory>> next;
  for (Endpoint& endpoint : *endpoints) {
    Key key{endpoint.address.Text(), endpoint.instance ? endpoint.instance->node : std::string(),
            endpoint.instance ? endpoint.instance->id : std::string()};
    auto& history = next[key];
    if (!history) {
      const auto known = known_.find(key);
      history = known != known_.end() ? known->second : std::make_shared<EndpointHistory>();
    }
    endpoint.history = history;
  }
  known_ = std::move(next);
}

}  // namespace mooring::data
