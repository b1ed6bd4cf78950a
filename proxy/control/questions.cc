#include "proxy/control/questions.h"

namespace mooring::control {

Questions& Questions::Of(AgentLink& link) {
  if (!link.attachment()) link.attachment() = std::make_unique<Questions>();
  return static_cast<Questions&>(*link.attachment());
}

std::shared_ptr<Question> Questions::For(Agent& agent, const Question::What& what,
                                         const Question::How& how) {
  const std::string token = what.any_token ? std::string() : agent.Secret();
  const auto place = known_.try_emplace(Key(what, token)).first;
  if (auto known = place->second.lock()) return known;
  std::shared_ptr<Question> question(new Question(agent.link(), what, how, token),
                                     [this, place](Question* ended) {
                                       known_.erase(place);
                                       delete ended;
                                     });
  place->second = question;
  return question;
}

}  // namespace mooring::control
