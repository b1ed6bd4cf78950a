// ConnectionBudget: how many connections to the agent this process may have, and who of its
// questions waits for a change on one of its own.
//
// One service has four questions that are always worth a connection: configuration, roots, leaf,
// intentions. Each further service adds three, because roots are the same for all. One connection
// is kept for whatever is answered soon, and what is left is for upstreams (turns.h). While that
// fits so many services, everybody waits. Where it does not, the process is crowded: configuration,
// leaf and intentions of all services are polled alike, and only roots and the list of intentions,
// which are one for all, keep a connection of their own. Pure; owned by AgentConnections.
#pragma once

#include <array>
#include <cstddef>

namespace mooring::control {

class ConnectionBudget final {
 public:
  // Own: what a question is, for which a connection of its own is wanted. kNone: none is.
  enum class Own { kNone, kConfiguration, kRoots, kLeaf, kIntentions, kIntentionList };

  static constexpr unsigned kPerService = 3;  // what each service after the first adds
  // what adding ends at; a higher limit is the operator's word
  static constexpr unsigned kMost = 16;
  // Polls of many services are quick each, but one may hang: so many connections are theirs in a
  // crowd.
  static constexpr std::size_t kShortInCrowd = 4;

  // `of_one` is how many one service may have (config::AgentSettings::max_connections); less than
  // config::kLeastAgentConnections counts as that.
  explicit ConnectionBudget(unsigned of_one);
  // Limit is how many so many services may have.
  static unsigned Limit(unsigned of_one, unsigned services);

  void AddService() { ++services_; }
  void RemoveService() { --services_; }
  unsigned services() const { return services_; }
  // A question claims while it is asked and can be waited on.
  void Claim(Own own) { ++claims_[Index(own)]; }
  void Release(Own own) { --claims_[Index(own)]; }

  unsigned limit() const { return Limit(of_one_, services_); }
  bool Crowded() const;
  bool Grants(Own own) const;
  std::size_t own() const;     // connections that questions have as their own
  std::size_t shared() const;  // at least one that no blocking query may take
  std::size_t seats() const;   // what is left for upstreams

 private:
  static std::size_t Index(Own own) { return static_cast<std::size_t>(own); }
  std::size_t Claims() const;

  const unsigned of_one_;
  unsigned services_ = 0;
  std::array<std::size_t, 6> claims_{};
};

}  // namespace mooring::control
