// Questions: what is being asked of the agent by whom. Who asks the same with the same token shares
// one Question.
//
// One for a link, which carries it. It keeps nothing alive: a Question ends with its last
// subscriber. Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "proxy/control/agent.h"
#include "proxy/control/question.h"
#include "proxy/net/loop.h"

namespace mooring::control {

class Questions final : public net::Attachment {
 public:
  static Questions& Of(AgentLink& link);

  // For is the question that `agent` asks by that, with its token as it is now; a new one is asked
  // as `how` says.
  std::shared_ptr<Question> For(Agent& agent, const Question::What& what, const Question::How& how);

 private:
  using Key = std::pair<Question::What, std::string>;  // and the token, if it matters
  std::map<Key, std::weak_ptr<Question>> known_;
};

}  // namespace mooring::control
