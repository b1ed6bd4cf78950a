#include "proxy/data/endpoint_history.h"

#include <utility>

#include "proxy/data/endpoint.h"

namespace mooring::data {

EndpointState StateOf(const EndpointHistory& history, net::MonotonicTime now) {
  if (history.ejection().out())
    return now < history.ejection().until() ? EndpointState::kEjected : EndpointState::kProbation;
  if (history.failures_in_a_row() > 0) return EndpointState::kFailing;
  return history.attempts() > 0 ? EndpointState::kOk : EndpointState::kUnused;
}

const char* EndpointStateName(EndpointState state) {
  switch (state) {
    case EndpointState::kUnused: return "unused";
    case EndpointState::kOk: return "ok";
    case EndpointState::kFailing: return "failing";
    case EndpointState::kEjected: return "ejected";
    case EndpointState::kProbation: return "probation";
  }
  return "";
}

net::MonotonicTime InStateSince(const EndpointHistory& history, EndpointState state) {
  switch (state) {
    case EndpointState::kEjected: return history.ejection().since();
    case EndpointState::kProbation: return history.ejection().until();
    case EndpointState::kUnused:
    case EndpointState::kOk:
    case EndpointState::kFailing: break;
  }
  return history.turned_at();
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
