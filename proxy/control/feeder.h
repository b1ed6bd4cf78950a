// Feeder: answers old generations of this sidecar in the agent's place, over HTTP on a unix socket,
// so that they need no connection to the agent.
//
// An old generation asks as it would ask the agent (agent_link.h, FollowFeed), with its own token.
// What it waits for is a Question of ours, which we share if we ask the same, so its answers come
// when ours do. What it wants at once we ask the agent for it. It is no service of ours, so its
// tokens make the budget of connections no larger. Documents alone are handed on; a leaf is
// refused, because no key leaves a process. Only our own user may ask. Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/control/agent.h"
#include "proxy/control/question.h"
#include "proxy/http/server.h"
#include "proxy/net/loop.h"

namespace mooring::control {

class Feeder final {
 public:
  Feeder(net::Loop& loop, AgentLink& link, net::UniqueFd listening);  // `link` outlives this
  ~Feeder();
  Feeder(const Feeder&) = delete;
  Feeder& operator=(const Feeder&) = delete;

 private:
  class Document;
  using Key = std::pair<Question::What, std::string>;  // and the token

  void Serve(const http::ServerRequest& request, const http::Server::Reply& reply);
  Document* Find(const Question::What& what, const Question::How& how, const std::string& secret);
  void Sweep();

  net::Loop& loop_;
  AgentLink& link_;
  std::map<std::string, std::weak_ptr<Agent>> agents_;  // by token; each lives as its documents
  std::map<Key, std::unique_ptr<Document>> documents_;
  net::Timer sweep_;
  http::Server server_;
};

}  // namespace mooring::control
