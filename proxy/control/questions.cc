#include "proxy/control/questions.h"

namespace mooring::control {

Questions& Questions::Of(AgentLink& link) {
  if (!link.attachment()) link.attachment() = std::make_unique<Questions>();
  return static_cast<Questions&>(*link.attachment());
}

std::shared_ptr<Question> Questions::For(Agent& agent, const Question::What& what, const Question::How& how) {
  std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
  const std::string token = what.any_token ? std::string() : agent.Secret();
  std::weak_ptr<Question>& known = known_[Key(what, token)];
  auto question = known.lock();
  if (!question) {
    question = std::make_shared<Question>(agent.link(), what, how, token);
    known = question;
  }
  return question;
}

}  // namespace mooring::control
